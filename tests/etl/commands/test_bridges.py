"""The commands do what they say, and say what they did."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from delphi_folder import write_delphi
from typer.testing import CliRunner, Result

from feature_atlas.etl.commands.cli import app


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, published_url: str):
    """Calls `feature-atlas` on an atlas with one run."""
    monkeypatch.setenv("ATLAS_DATABASE_URL", published_url)

    def call(*words: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    return call


def test_every_bridge_has_its_command(run, run_folder: Path, tmp_path: Path):
    slug = run_folder.name
    for command, said in {
        "run": "0 additions",
        "neuronpedia": "128 features, 96 activations and 16 explanations",
        "delphi": "8 explanations and 8 scores",
        "latent-df": "128 features in 2 files",
    }.items():
        done = run("export", command, slug, tmp_path / command)
        assert (done.exit_code, said in done.output) == (0, True), done.output
    done = run("import", "delphi", slug, write_delphi(tmp_path / "from"))
    assert "added, 3 scored explanations" in done.output
    assert "left out: 1 explanations without a score" in " ".join(done.output.split())
    done = run("import", "neuronpedia", tmp_path / "neuronpedia", "--model", "tiny-llava")
    assert "tiny-scope: 16 new labels" in done.output


def test_an_exported_run_is_ingested_with_its_additions(
    run, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_url: str
):
    run("import", "delphi", run_folder.name, write_delphi(tmp_path / "from"))
    assert "1 additions" in run("export", "run", run_folder.name, tmp_path / "out").output
    monkeypatch.setenv("ATLAS_DATABASE_URL", empty_url)
    done = run("ingest", tmp_path / "out")
    count = run("query", "SELECT count(*) AS n FROM atlas.auto_interp", "--format", "csv")

    assert "auto_interp added" in done.output
    assert count.output.split() == ["n", "19"]


def test_a_query_becomes_a_file(run, tmp_path: Path):
    file = tmp_path / "new" / "adapted.parquet"
    done = run("export", "query", "SELECT layer, feature FROM atlas.adapted", file)

    assert f"32 rows written to {file}" in done.output.replace("\n", "")
    assert pq.read_table(file).num_rows == 32
    assert run("export", "table", "feature", tmp_path / "f.csv").exit_code == 0


def test_errors_are_one_message_and_exit_code_1(run, tmp_path: Path):
    for words in (
        ("export", "query", "DROP TABLE atlas.run", tmp_path / "x.csv"),
        ("export", "run", "nonsense", tmp_path / "x"),
        ("export", "saes", tmp_path, tmp_path / "x"),
        ("import", "neuronpedia", tmp_path),
        ("import", "delphi", "1", tmp_path),
    ):
        done = run(*words)
        assert done.exit_code == 1
        assert done.output.startswith("error: ")
        assert list(tmp_path.iterdir()) == []
