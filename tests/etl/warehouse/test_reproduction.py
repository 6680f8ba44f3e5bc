"""The paper, restated: the document that `feature-atlas reproduction` writes."""

import re
from pathlib import Path

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.warehouse.reproduction import reproduction

COOKBOOK = Path(__file__).parents[3] / "docs/cookbook.md"


def test_the_document_has_every_claim_with_its_number_and_its_question(loaded_engine: Engine):
    document = reproduction(loaded_engine, None)

    title, empty, audience, after, *_ = document.splitlines()
    assert title == "# The paper, restated"
    assert (empty, after) == ("", "")
    assert re.fullmatch(r"\*For [^*]+\.\*", audience)
    rows = [line for line in document.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [int(row.split("|")[1]) for row in rows] == list(range(1, 26))
    assert "| share of features that are adapted: about 5 %: 0.250 [0.183, 0.332] |" in rows[4]
    assert "**refuted in this run**" in rows[4]
    assert "| 5.1 | share of features that are adapted: about 5 % | 0.025 to 0.100 |" in document
    assert "| candidates: adapted, and recruited by spatial questions | 12 |" in document


def test_every_question_of_the_cookbook_that_it_links_to_is_there(loaded_engine: Engine):
    linked = re.findall(r"\(cookbook\.md#([^)]+)\)", reproduction(loaded_engine, None))
    headings = re.findall(r"^### (.+)$", COOKBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    slugs = {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }

    assert len(linked) == 25
    assert set(linked) <= slugs


def test_the_command_writes_the_file(loaded_url: str, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("ATLAS_DATABASE_URL", loaded_url)
    file = tmp_path / "reproduction.md"

    done = CliRunner().invoke(app, ["reproduction", "--run", "1", "--output", str(file)])

    assert done.exit_code == 0, done.output
    assert file.read_text(encoding="utf-8").startswith("# The paper, restated\n")


def test_a_run_that_is_not_there_is_refused_with_those_that_are(loaded_engine: Engine):
    with pytest.raises(ValueError, match=r"no run 'other'. There are: .*synthetic"):
        reproduction(loaded_engine, "other")
