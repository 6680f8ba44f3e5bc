"""What is printed of a run: how many adapted features survive the controls is never hidden."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from run_folder import read_rows, replace_rows, write_run_folder

from feature_atlas.etl.commands.summary import print_summary
from feature_atlas.etl.warehouse.load import ingest

SENTENCES = [
    (
        [],
        "32 adapted, of them 32 turn further than the refit null explains, 24 of these further "
        "than language alone",
    ),
    (
        ["is_turned_by_vision", "is_beyond_language"],
        "32 adapted, of them 32 turn further than the refit null explains; without a language "
        "regime: nothing says how much of it is language",
    ),
    (
        ["is_turned_by_vision", "is_beyond_language", "is_beyond_null"],
        "32 adapted; without a refit regime: nothing says how far training alone turns them",
    ),
]


@pytest.mark.parametrize(("missing", "sentence"), SENTENCES)
def test_the_summary_says_how_many_survive_the_controls_that_there_are(
    missing: list[str],
    sentence: str,
    engine,
    fresh_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    folder = write_run_folder(tmp_path)
    replace_rows(folder, "selection", read_rows(folder, "selection").drop(missing))
    ingest(folder, engine)
    monkeypatch.setenv("ATLAS_DATABASE_URL", fresh_url)
    said = io.StringIO()

    print_summary(folder.name, Console(file=said, width=200))

    assert sentence in said.getvalue().splitlines()
    assert "turned by vision" in said.getvalue()
