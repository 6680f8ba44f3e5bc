"""A folder of measurements is added once, whole, and to the run that it names."""

import json
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from doomed_load import exit_of_doomed_addition
from later_measurement import digest, entry, labels, staged
from rich.console import Console
from run_folder import seal, table_file, write_run_folder
from sqlalchemy import Engine
from typer.testing import CliRunner

from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.commands.ingest import check_folder
from feature_atlas.etl.warehouse.addition import add_folder
from feature_atlas.etl.warehouse.load import ingest


def change(folder: Path, **values: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_folder_is_added_once(atlas: Engine, addition: Path):
    assert add_folder(addition, atlas).rows == {"auto_interp": 16}
    assert add_folder(addition, atlas).status == "already there"


def test_a_folder_that_grew_adds_what_is_new(atlas: Engine, addition: Path, whole: Path):
    add_folder(addition, atlas)
    manifest = json.loads((addition / "manifest.json").read_text())
    (addition / "more").mkdir()
    pa.parquet.write_table(labels(whole, model="third"), addition / "more/auto_interp.0.parquet")
    change(
        addition,
        measurements=[*manifest["measurements"], entry("more").model_dump(mode="json")],
        files=[
            *manifest["files"],
            {"path": "more/auto_interp.0.parquet", "stage": "more", "table": "auto_interp"},
        ],
    )
    seal(addition)

    report = add_folder(addition, atlas)

    assert (report.stages, report.rows) == (["more"], {"auto_interp": 16})


def test_folders_that_do_not_fit_are_refused(atlas: Engine, addition: Path, whole: Path):
    def said() -> str:
        before = digest(atlas)
        with pytest.raises(ValueError) as refused:
            add_folder(addition, atlas)
        assert digest(atlas) == before
        return str(refused.value)

    manifest = json.loads((addition / "manifest.json").read_text())
    change(addition, sae_set=manifest["sae_set"] | {"fingerprint": "another"})
    assert "measured another model or other SAEs" in said()
    change(addition, sae_set=manifest["sae_set"], adds_to="0" * 64)
    assert "is not in this atlas" in said()
    change(addition, adds_to=manifest["adds_to"], measurements=[], files=[])
    assert "has no measurements" in said()
    with pytest.raises(ValueError, match=r"has no adds_to.*feature-atlas ingest"):
        add_folder(whole, atlas)

    change(addition, measurements=manifest["measurements"], files=manifest["files"])
    table_file(addition, "auto_interp").write_bytes(b"0" * manifest["files"][0]["bytes"])
    assert "its content was changed" in said()


def test_a_folder_that_adds_is_not_loaded_as_a_run(engine: Engine, addition: Path):
    with pytest.raises(ValueError, match="feature-atlas runs add"):
        ingest(addition, engine)
    with pytest.raises(ValueError, match="feature-atlas runs add"):
        check_folder(addition, Console())


def test_a_run_that_is_not_published_gets_no_additions(engine: Engine, whole: Path, addition: Path):
    def fail(step: str, done: int, total: int) -> None:
        if step == "record":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(whole, engine, fail)

    with pytest.raises(ValueError, match="which is failed: publish it first"):
        add_folder(addition, engine)


def test_a_superseded_run_can_be_added_to(atlas: Engine, addition: Path, tmp_path: Path):
    ingest(write_run_folder(tmp_path, seed=1), atlas)

    assert add_folder(addition, atlas).status == "added"


@pytest.mark.parametrize("step", ["copy_rows", "move_rows", "_clean_up"])
def test_a_killed_addition_is_whole_or_nothing_and_the_next_one_is_right(
    step: str, atlas: Engine, url: str, addition: Path
):
    before = digest(atlas)

    exit_code = exit_of_doomed_addition(addition, url, step)

    assert exit_code == -signal.SIGKILL
    if step == "_clean_up":  # it had been committed
        assert add_folder(addition, atlas, wait=True).status == "already there"
    else:
        assert digest(atlas) == before
        assert add_folder(addition, atlas, wait=True).status == "added"
        assert staged(atlas) == 0


def test_the_command_adds_to_the_run_that_is_named(
    url: str, atlas: Engine, addition: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ATLAS_DATABASE_URL", url)

    added = CliRunner().invoke(app, ["runs", "add", whole.name, str(addition)])
    again = CliRunner().invoke(app, ["runs", "add", "1", str(addition)])
    listed = CliRunner().invoke(app, ["runs"])

    assert (added.exit_code, again.exit_code) == (0, 0), added.output
    assert "added labels" in added.output
    assert "16 rows of auto_interp" in added.output
    assert "already there" in again.output
    n_stages = len(json.loads((whole / "manifest.json").read_text())["measurements"])
    assert f" {n_stages + 1} " in listed.output


def test_the_command_refuses_a_folder_for_another_run(
    url: str, atlas: Engine, addition: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    other = write_run_folder(tmp_path, seed=1)
    ingest(other, atlas)
    monkeypatch.setenv("ATLAS_DATABASE_URL", url)

    refused = CliRunner().invoke(app, ["runs", "add", other.name, str(addition)])

    assert refused.exit_code == 1
    assert f"not to {other.name}" in " ".join(refused.output.split())
