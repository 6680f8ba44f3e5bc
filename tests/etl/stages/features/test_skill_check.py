"""The sheet for a check by eye, and what it says when it is filled in."""

import csv
from pathlib import Path

import pytest
from statsmodels.stats.proportion import proportion_confint
from typer.testing import CliRunner

from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.config.skill_files import shipped_skills
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.stages.features.skill_check import score_sheet, sheet_of, write_sheet

SPATIAL = shipped_skills()["spatial"]
TEXTS = [
    *(f"Is thing {i} above thing {i + 1}?" for i in range(30)),
    *(f"Is this the right way, number {i}?" for i in range(5)),
    *(f"What are the positions of the {i} players?" for i in range(5)),
    *(f"Is there a <cat> {i}?" for i in range(20)),
]
SAMPLES = [Sample("vqav2-val", str(i), Path(), t, "yes") for i, t in enumerate(TEXTS)]


def fill(file: Path, marks: dict[str, list[str]]) -> None:
    """Write marks into the first rows of each kind."""
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for kind, words in marks.items():
        for row, word in zip([r for r in rows if r["kind"] == kind], words, strict=False):
            row["is_right"] = word
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def test_hits_come_with_their_rule_and_near_misses_with_why_they_are_near() -> None:
    rows = sheet_of(SPATIAL, SAMPLES, n=12, seed=0)

    hits, misses = rows[:12], rows[12:]
    assert {(row.kind, row.rule) for row in hits} == {("hit", "above")}
    reasons = [row.rule for row in misses]
    assert (
        reasons
        == ["a look-alike was cut out"] * 5
        + ["has a word of the skill"] * 5
        + ["no rule matches"] * 2
    )
    assert rows == sheet_of(SPATIAL, SAMPLES, n=12, seed=0)
    assert rows != sheet_of(SPATIAL, SAMPLES, n=12, seed=1)


def test_a_filled_sheet_gives_precision_with_wilsons_interval(tmp_path: Path) -> None:
    file = tmp_path / "sheet.csv"
    page = write_sheet(sheet_of(SPATIAL, SAMPLES, n=20, seed=0), file)
    fill(file, {"hit": ["y"] * 15 + ["n"] * 2 + ["", " Yes "], "near miss": ["n", "y"]})

    hits, misses = score_sheet(file)

    assert (hits.n_right, hits.n_marked, hits.n_open) == (16, 18, 2)
    assert (hits.low, hits.high) == pytest.approx(proportion_confint(16, 18, method="wilson"))
    assert (misses.n_right, misses.n_marked, misses.n_open) == (1, 2, 18)
    assert "&lt;cat&gt;" in page.read_text()


def test_a_sheet_that_cannot_be_read_says_where(tmp_path: Path) -> None:
    file = tmp_path / "sheet.csv"
    write_sheet(sheet_of(SPATIAL, SAMPLES, n=3, seed=0), file)
    fill(file, {"hit": ["y", "maybe"]})
    with pytest.raises(ValueError, match=r"line 3: is_right is 'maybe', expected y, n or nothing"):
        score_sheet(file)
    file.write_text("kind,question\nhit,What?\n")
    with pytest.raises(ValueError, match="has no column is_right"):
        score_sheet(file)
    with pytest.raises(FileNotFoundError, match="`feature-atlas skills check` writes one"):
        score_sheet(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="'spatial' matches none of 1 questions"):
        sheet_of(SPATIAL, SAMPLES[-1:], n=3, seed=0)


def test_the_command_lists_checks_and_scores(
    monkeypatch: pytest.MonkeyPatch, loaded_url: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("ATLAS_DATABASE_URL", loaded_url)
    file = tmp_path / "spatial.csv"

    def call(*words: object) -> str:
        done = CliRunner().invoke(app, ["skills", *map(str, words)])
        assert done.exit_code == 0, done.output
        return done.output

    assert "counting" in call()
    assert "12 hits and 0 near misses" in call("check", "spatial", "--out", file)
    fill(file, {"hit": ["y"] * 11 + ["n"]})
    assert "precision, of hits: 91.7% [64.6%, 98.5%], 11 of 12 marked, 0 open" in call(
        "score", file
    )
