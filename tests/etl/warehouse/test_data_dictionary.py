"""The committed data dictionary, and the command that writes it."""

from pathlib import Path

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.warehouse.data_dictionary import data_dictionary
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.models.session import make_engine

DICTIONARY = Path(__file__).parents[3] / "docs" / "data_dictionary.md"


def test_the_data_dictionary_is_current(engine: Engine):
    current = data_dictionary(engine) == DICTIONARY.read_text(encoding="utf-8")

    assert current, "docs/data_dictionary.md is out of date: run `make dictionary`"


def test_the_data_dictionary_does_not_depend_on_runs(engine: Engine, run_folder: Path):
    empty = data_dictionary(engine)
    ingest(run_folder, engine)

    assert data_dictionary(engine) == empty


def test_the_data_dictionary_has_every_kind_of_thing(engine: Engine):
    document = data_dictionary(engine)

    assert "\n### spatial\n\nSpatial features of the current run (4.3).\n" in document
    assert "\n| `layer` | smallint | key |  | decoder layer whose output" in document
    assert (
        "\n| `parent_id` | integer | → run | null | the run that this one superseded [identifier] |"
        in document
    )
    assert "\n### run_diff(before integer, after integer)\n" in document
    assert "alembic_version" not in document


def test_a_database_without_an_atlas_has_no_dictionary(empty_url: str):
    engine = make_engine(empty_url)
    with pytest.raises(RuntimeError, match="run `feature-atlas migrate`"):
        data_dictionary(engine)
    engine.dispose()


def test_the_command_prints_it_or_writes_it_to_a_file(
    loaded_url: str, loaded_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ATLAS_DATABASE_URL", loaded_url)
    expected, file = data_dictionary(loaded_engine), tmp_path / "dictionary.md"

    printed = CliRunner().invoke(app, ["dictionary"])
    written = CliRunner().invoke(app, ["dictionary", "--output", str(file)])

    assert (printed.exit_code, written.exit_code) == (0, 0)
    assert printed.stdout == expected == file.read_text(encoding="utf-8")


def test_the_command_says_when_there_is_nothing_to_describe(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ATLAS_DATABASE_URL", empty_url)

    refused = CliRunner().invoke(app, ["dictionary"])

    assert refused.exit_code == 1
    assert "feature-atlas migrate" in refused.output
