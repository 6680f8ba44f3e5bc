"""The command `runs` says what it did."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from feature_atlas.etl.commands.cli import app


@pytest.fixture
def command(url: str, monkeypatch: pytest.MonkeyPatch):
    """Run `feature-atlas runs ...` on the database with the four runs."""
    monkeypatch.setenv("ATLAS_DATABASE_URL", url)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["runs", *words])
        return result.exit_code, result.output

    return run


def test_the_commands_say_what_they_did(command, folders: list[Path]):
    oldest, middle, newest, other = (folder.name for folder in folders)

    code, listed = command()
    assert code == 0
    assert all(folder.name in listed for folder in folders)

    code, shown = command("show", middle)
    assert code == 0
    assert all(
        word in shown for word in (oldest, newest, "visual_energy", "0123456789ab", "Funnel")
    )

    code, dumped = command("show", middle, "--json")
    assert json.loads(dumped)["rows"]["decoder_cosine"] == 6 * 128

    code, promoted = command("promote", oldest)
    assert (code, f"{newest}: superseded" in promoted) == (0, True)

    code, promised = command("promote", "--stable", middle)
    assert (code, f"{middle}: stable" in promised) == (0, True)
    code, refused = command("drop", middle, "--yes")
    assert (code, "runs promote --stable RUN" in refused) == (1, True)
    code, released = command("release", "stable")
    assert (code, f"{middle}: released" in released) == (0, True)

    code, refused = command("drop", oldest)
    assert (code, "--yes" in refused) == (1, True)
    code, dropped = command("drop", oldest, "--yes")
    assert (code, f"{newest}: published again in its place" in dropped) == (0, True)

    code, unknown = command("show", oldest)
    assert (code, other in unknown) == (1, True)
