"""Reviews by command and by spreadsheet: added, never changed; the newest decides the label."""

import csv
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
from run_folder import write_run_folder
from sqlalchemy import Connection, Engine, text
from typer.testing import CliRunner, Result

from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.labels.review import add_reviews, read_place
from feature_atlas.etl.labels.review_table import export_reviews, import_reviews
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.models import AutoInterp, Base, Candidate
from feature_atlas.models.meaning.judgement import Judgement


@pytest.fixture
def published(published_engine: Engine) -> Engine:
    return published_engine


@pytest.fixture
def command(published: Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    url = published.url.render_as_string(hide_password=False)
    monkeypatch.setenv("ATLAS_DATABASE_URL", url)
    monkeypatch.setenv("ATLAS_REVIEWER", "Ada")
    return lambda *words: CliRunner().invoke(app, ["review", *words])


def reviews(engine: Engine) -> pd.DataFrame:
    return pd.read_sql("SELECT * FROM atlas.review ORDER BY id", engine)


def label(engine: Engine, layer: int, feature: int) -> str | None:
    query = text("SELECT label FROM atlas.feature WHERE layer = :layer AND feature = :feature")
    with engine.connect() as connection:
        return connection.scalar(query, {"layer": layer, "feature": feature})


def judgement(**changed) -> Judgement:
    return Judgement(1, 2, "accept", None, None, "Ada", "asks for left of")._replace(**changed)


def test_the_newest_verdict_decides_and_all_are_kept(published: Engine, command: Callable) -> None:
    assert label(published, 1, 2) == "asks for left of"

    assert command("1/2", "--verdict", "edit", "--description", "the word left").exit_code == 0
    assert label(published, 1, 2) == "the word left"
    assert command("--verdict", "reject", "1/2", "--note", "too broad").exit_code == 0
    assert label(published, 1, 2) is None
    done = command("1/2", "--verdict", "edit", "--description", "left, or port")

    assert "its label: left, or port" in done.output
    kept = reviews(published)
    assert kept.verdict.tolist() == ["edit", "reject", "edit"]
    assert kept.judged.fillna("none").tolist() == ["asks for left of", "the word left", "none"]
    assert kept.note.dropna().tolist() == ["too broad"]
    assert set(kept.reviewer) == {"Ada"}
    assert kept.created_at.is_monotonic_increasing


def test_accepting_keeps_the_label_that_was_seen(published: Engine, command: Callable) -> None:
    command("1/2", "--verdict", "accept")
    with published.begin() as connection:  # as an addition does, with a better description
        connection.execute(text("CREATE TEMP TABLE more AS SELECT * FROM atlas.auto_interp"))
        connection.execute(text("UPDATE more SET model = 'new', description = 'new', f1 = 1"))
        columns = [c.name for c in AutoInterp.__table__.columns if c.name != "id"]
        names = ", ".join(columns)
        connection.execute(
            text(f"INSERT INTO atlas.auto_interp ({names}) SELECT {names} FROM more")
        )

    assert label(published, 1, 2) == "asks for left of"
    assert label(published, 0, 2) == "new"


def test_saying_the_same_again_adds_nothing(published: Engine, command: Callable) -> None:
    command("1/2", "--verdict", "accept")
    again = command("1/2", "--verdict", "accept")
    command("1/2", "--verdict", "accept", "--reviewer", "Bob")  # but another may agree

    assert "noted already" in again.output
    assert reviews(published).reviewer.tolist() == ["Ada", "Bob"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("2-38", "--verdict", "accept"), "'2-38' names no feature: expected LAYER/FEATURE"),
        (("7/0", "--verdict", "reject"), "layer 7 has no SAE; run synthetic-"),
        (("1/64", "--verdict", "reject"), "feature is 64, expected 0 to 63"),
        (("1/2", "--verdict", "maybe"), "verdict is 'maybe', expected one of accept, reject, edit"),
        (
            ("1/2", "--verdict", "edit"),
            "a description of the reviewer's own goes with verdict edit",
        ),
        (("1/2", "--verdict", "reject", "--description", "x"), "and only with it"),
        (("1/40", "--verdict", "accept"), "there is no label to accept"),
        (("1/2", "--verdict", "accept", "--run", "nobody"), "no run 'nobody'"),
    ],
)
def test_a_bad_review_is_told_what_is_expected(
    published: Engine, command: Callable, words: tuple[str, ...], said: str
) -> None:
    done = command(*words)

    assert done.exit_code == 1
    assert said in " ".join(done.output.split())
    assert reviews(published).empty


def edit_table(file: Path, change: Callable[[list[dict]], None]) -> None:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    change(rows)
    with file.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_a_spreadsheet_goes_out_and_comes_back(
    published: Engine, command: Callable, tmp_path: Path
) -> None:
    file = tmp_path / "labels.csv"
    assert "8 labels written" in command("export", str(file)).output

    def fill(rows: list[dict]) -> None:
        assert [(r["layer"], r["feature"]) for r in rows[:5]] == [
            ("0", "0"), ("0", "1"), ("0", "2"), ("0", "3"), ("1", "0")
        ]  # fmt: skip
        assert rows[0]["label"] == "asks for left of"
        assert rows[0]["informative"] == "true"
        assert "?" in rows[0]["asked"]
        rows[0] |= {"verdict": "accept"}
        rows[1] |= {"verdict": "Edit", "description": 'says "port", é, or\na line'}
        rows[2] |= {"verdict": "reject", "note": "no", "reviewer": "Bob"}

    edit_table(file, fill)
    done = command("import", str(file))

    assert "3 verdicts added, 0 were there" in done.output
    kept = reviews(published)
    assert kept.reviewer.tolist() == ["Ada", "Ada", "Bob"]
    assert label(published, 0, 1) == 'says "port", é, or\na line'
    assert label(published, 0, 2) is None
    assert "0 verdicts added, 3 were there" in command("import", str(file)).output
    assert "5 labels written" in command("export", str(file)).output
    assert "8 labels written" in command("export", str(file), "--all").output
    assert "0 verdicts added, 3 were there" in command("import", str(file)).output
    assert len(reviews(published)) == 3


def test_a_label_cannot_pass_for_a_formula(published: Engine, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    for said, written in (
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"), ("-5", "'-5"), ("'=1", "''=1"), ("'quoted", "'quoted"),
    ):  # fmt: skip
        add_reviews(published, None, [judgement(verdict="edit", description=said)])
        export_reviews(published, None, file, everything=True)

        table = pd.read_csv(file, dtype=str).set_index(["layer", "feature"])
        assert table.loc[("1", "2"), "label"] == written
        assert import_reviews(published, None, file, "Ada").n_new == 0
        assert label(published, 1, 2) == said


def test_a_reviewers_own_apostrophe_stays(published: Engine, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    export_reviews(published, None, file, everything=False)
    edit_table(file, lambda rows: rows[0].update(verdict="reject", note="'tis too broad"))
    import_reviews(published, None, file, "Ada")

    assert reviews(published).note.tolist() == ["'tis too broad"]


def test_a_sheet_takes_strata_in_turn_and_tells_no_verdicts(
    published: Engine, command: Callable, tmp_path: Path
) -> None:
    describe_all(published)
    command("1/2", "--verdict", "edit", "--description", "Ada's own")
    files = [tmp_path / name for name in ("one.csv", "again.csv", "other.csv", "all.csv")]
    for file, words in zip(files, ("", "", "--seed 1", "--n 999"), strict=True):
        command("sheet", str(file), *f"--n 12 {words}".split())

    one, again, other, everything = (pd.read_csv(file) for file in files)

    assert "f1" not in one
    assert one.verdict.isna().all()
    assert len(everything) == 128
    assert set(everything.label) == {"asks for left of"}  # not what reviewers made of it
    pd.testing.assert_frame_equal(one, again)
    assert set(one.layer * 1000 + one.feature) != set(other.layer * 1000 + other.feature)
    drawn = one.merge(strata(published), how="left", on=["layer", "feature"])
    assert drawn.stratum.value_counts().to_dict() == {
        "survivor": 3, "turned": 3, "candidate": 3, "other": 3
    }  # fmt: skip
    assert drawn.stratum.ne(drawn.stratum.shift()).sum() > 4  # mixed, so that none can tell


def describe_all(engine: Engine) -> None:
    """Every feature is described alike; some candidates were not turned by vision."""
    with engine.begin() as connection:
        for name, rows in (
            ("said", "auto_interp LIMIT 1"),
            ("asked", "candidate WHERE layer = 0 AND feature = 5"),
        ):
            connection.execute(text(f"CREATE TEMP TABLE {name} AS SELECT * FROM atlas.{rows}"))
        connection.execute(text("DELETE FROM atlas.auto_interp"))
        for layer, feature in product((0, 1), range(64)):
            add_again(connection, AutoInterp, "said", layer, feature)
        for feature in range(20, 26):
            add_again(connection, Candidate, "asked", 0, feature)


def add_again(
    connection: Connection, model: type[Base], rows: str, layer: int, feature: int
) -> None:
    names = ", ".join(c.name for c in model.__table__.columns if c.name != "id")
    connection.execute(text(f"UPDATE {rows} SET layer = {layer}, feature = {feature}"))
    connection.execute(text(f"INSERT INTO {model.__table__} ({names}) SELECT {names} FROM {rows}"))


def strata(engine: Engine) -> pd.DataFrame:
    """What each feature is, asked feature by feature."""
    found = pd.read_sql("SELECT layer, feature, is_turned_by_vision FROM atlas.feature", engine)
    recruited = pd.read_sql("SELECT layer, feature, survives FROM atlas.candidate", engine)
    survives = recruited.groupby(["layer", "feature"]).survives.any()

    def stratum(row: pd.Series) -> str:
        key = (row.layer, row.feature)
        if survives.get(key, False):
            return "survivor"
        if row.is_turned_by_vision:
            return "turned"
        return "candidate" if key in survives.index else "other"

    return found.assign(stratum=[stratum(row) for _, row in found.iterrows()])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows[3].update(verdict="maybe"), "line 5: verdict is 'maybe'"),
        (lambda rows: rows[3].update(verdict="reject", layer="x"), "line 5: layer 'x'"),
        (lambda rows: rows[3].update(run="other-1"), "its rows are of 2 runs"),
        (lambda rows: [row.pop("verdict") for row in rows], "has no column verdict"),
    ],
)
def test_one_bad_row_and_nothing_is_written(
    published: Engine, tmp_path: Path, change: Callable, said: str
) -> None:
    file = tmp_path / "labels.csv"
    export_reviews(published, None, file, everything=False)
    edit_table(file, lambda rows: rows[0].update(verdict="reject"))
    edit_table(file, change)

    with pytest.raises(ValueError, match=said) as refused:
        import_reviews(published, None, file, "Ada")
    assert "Nothing was written" in str(refused.value)
    assert reviews(published).empty


def test_a_spreadsheet_of_one_run_is_not_for_another(
    published: Engine, run_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "labels.csv"
    export_reviews(published, None, file, everything=False)
    ingest(write_run_folder(tmp_path / "runs", seed=1), published)

    with pytest.raises(ValueError, match="labels differ between runs"):
        import_reviews(published, "2", file, "Ada")
    edit_table(file, lambda rows: rows[0].update(verdict="reject"))
    assert import_reviews(published, None, file, "Ada").slug == run_folder.name


def test_a_file_that_is_no_table_is_refused(published: Engine, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ValueError, match="is not CSV in UTF-8"):
        import_reviews(published, None, file, "Ada")


def test_only_runs_that_readers_see_are_reviewed(engine: Engine) -> None:
    with pytest.raises(ValueError, match="no run is published"):
        add_reviews(engine, None, [judgement()])


def test_places_are_read_strictly() -> None:
    assert read_place("02/38") == (2, 38)
    for bad in ("2", "2/", "/3", "2/3/4", "²/3", "-1/2", "a/b"):
        with pytest.raises(ValueError, match="LAYER/FEATURE"):
            read_place(bad)
