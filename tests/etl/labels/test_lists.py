"""Lists at the command line: out and back in by CSV, printed, and refused in a sentence."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.labels.lists import export_list, import_list, show_list
from feature_atlas.models.lists.keeping import Entry, add_entries
from feature_atlas.models.notation.csv_text import read_csv

FORMULA = "=HYPERLINK(1)"


@pytest.fixture
def atlas(published_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An atlas with a list of two features."""
    engine = published_engine
    with engine.begin() as connection:
        add_entries(connection, 1, "Left of", [Entry(1, 2, FORMULA), Entry(0, 1, "'a")], "Ada")
    monkeypatch.setenv("ATLAS_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("ATLAS_REVIEWER", "Grace")
    return engine


def places(engine: Engine, slug: str) -> list[tuple]:
    query = """
        SELECT layer, feature, entry.note, dictionary FROM lists.entry
        JOIN lists.list ON list.id = list_id WHERE slug = :slug ORDER BY 1, 2
    """
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query), {"slug": slug})]


def test_a_list_goes_out_and_comes_back_the_same(atlas: Engine, tmp_path: Path):
    file = tmp_path / "list.csv"

    listed = export_list(atlas, "left-of", file, None)
    back = import_list(atlas, file, "Again", None, "Ada")
    twice = import_list(atlas, file, "Again", None, "Ada")

    assert [row[:2] for row in listed.rows] == [(0, 1), (1, 2)]
    assert f"'{FORMULA}" in file.read_text(encoding="utf-8-sig")
    assert places(atlas, "again") == places(atlas, "left-of") == [
        (0, 1, "'a", "f1"), (1, 2, FORMULA, "f1")
    ]  # fmt: skip
    assert (back.n_new, back.n_there, twice.n_new, twice.n_there) == (2, 0, 0, 2)
    row = read_csv(file).rows[1][1]
    with atlas.connect() as connection:
        query = "SELECT label, cosine FROM atlas.feature WHERE layer = 1 AND feature = 2"
        label, cosine = connection.execute(text(query)).one()
    assert (row["label"], float(row["cosine"])) == (label, pytest.approx(cosine))


def test_a_table_of_ones_own_needs_two_columns(atlas: Engine, tmp_path: Path):
    file = tmp_path / "mine.csv"
    file.write_text("feature,layer,why\n3,1,x\n4,0,y\n", encoding="utf-8")

    assert import_list(atlas, file, "Mine", None, "Ada").n_new == 2
    assert places(atlas, "mine") == [(0, 4, None, "f1"), (1, 3, None, "f1")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("layer,note\n1,x\n", "has no column feature"),
        ("layer,feature\n1,x\n", r"mine.csv, line 2: layer '1' and feature 'x'"),
        ("layer,feature\n1,2\n9,2\n", r"mine.csv, line 3: layer 9 has no SAE"),
        ("layer,feature,dictionary\n1,2,f7\n", "no run of this atlas starts from"),
        ('layer,feature\n1,"2\n', "is not CSV in UTF-8"),
    ],
)
def test_a_file_that_is_not_right_changes_nothing(
    atlas: Engine, tmp_path: Path, content: str, message: str
):
    file = tmp_path / "mine.csv"
    file.write_text(content, encoding="utf-8")

    with pytest.raises(ValueError, match=message):
        import_list(atlas, file, "Mine", None, "Ada")
    assert places(atlas, "mine") == []


def test_the_commands_say_what_they_did(atlas: Engine, tmp_path: Path):
    file = str(tmp_path / "list.csv")

    def said(*command: str) -> str:
        result = CliRunner().invoke(app, ["lists", *command])
        assert result.exit_code == 0, result.output
        return result.output

    assert "Left of" in said()
    assert FORMULA in said("show", "left-of")
    assert '"feature": 2' in said("show", "left-of", "--format", "json")
    assert "2 features written" in said("export", "left-of", file)
    assert "again: 2 features added, 0 were there" in said("import", file, "--list", "Again")
    with atlas.connect() as connection:
        by = connection.scalars(text("SELECT DISTINCT added_by FROM lists.entry ORDER BY 1")).all()
    assert by == ["Ada", "Grace"]


def test_a_list_that_there_is_not_is_named_with_those_that_there_are(atlas: Engine):
    with pytest.raises(ValueError, match=r"no list .x.\. There are: left-of"):
        show_list(atlas, "x", None)
