"""Lists and comments: what is written, what is refused, and that of two at once both win."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from run_folder import write_run_folder
from sqlalchemy import Engine, text

from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.etl.warehouse.migrate import check, downgrade, migrate
from feature_atlas.models.lists.keeping import (
    Added,
    Entry,
    add_comment,
    add_entries,
    change_list,
    change_note,
    delete_list,
    remove_entries,
    slug_of,
)
from feature_atlas.models.session import make_writer_engine

EVERYTHING = """
SELECT list.slug, title, owner, list.note, dictionary, layer, feature, entry.note, added_by, run
FROM lists.list LEFT JOIN lists.entry ON list_id = list.id ORDER BY 1, layer, feature
"""


@pytest.fixture
def atlas(published_engine: Engine) -> Engine:
    """The owner's view of an atlas with run 1."""
    return published_engine


@pytest.fixture
def writer(atlas: Engine) -> Iterator[Engine]:
    """All that is kept is kept as the role of the pages."""
    engine = make_writer_engine(atlas.url.render_as_string(hide_password=False))
    yield engine
    engine.dispose()


def kept(engine: Engine) -> list[tuple]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(EVERYTHING))]


def put(engine: Engine, title: str, *entries: Entry, by: str = "Ada") -> Added:
    with engine.begin() as connection:
        return add_entries(connection, 1, title, entries, by)


def test_a_list_is_made_filled_changed_and_deleted(writer: Engine, run_folder: Path):
    added = put(writer, " Left  of ", Entry(0, 3, "sees it"), Entry(1, 5), Entry(1, 5))
    again = put(writer, "left OF", Entry(1, 5, "late"), Entry(1, 6), by="Grace")

    assert added == Added("left-of", "Left of", n_new=2, n_there=1)
    assert again == Added("left-of", "Left of", n_new=1, n_there=1)
    said = ("left-of", "Left of", "Ada", None, "f1")
    assert kept(writer) == [
        (*said, 0, 3, "sees it", "Ada", run_folder.name),
        (*said, 1, 5, None, "Ada", run_folder.name),
        (*said, 1, 6, None, "Grace", run_folder.name),
    ]

    with writer.begin() as connection:
        change_list(connection, "left-of", "What is left", "of Fig. 9")
        change_note(connection, "left-of", Entry(1, 5, "also right", "f1"), before=None)
        assert remove_entries(connection, "left-of", [Entry(0, 3, None, "f1")]) == 1
    assert {row[1:4] for row in kept(writer)} == {("What is left", "Ada", "of Fig. 9")}
    assert [row[7] for row in kept(writer)] == ["also right", None]

    with writer.begin() as connection:
        delete_list(connection, "left-of")
    assert kept(writer) == []


def test_an_address_outlives_a_new_title_and_is_nobody_elses(writer: Engine):
    put(writer, "Left", Entry(0, 1))
    with writer.begin() as connection:
        change_list(connection, "left", "Right", None)

    assert put(writer, "Left", Entry(0, 2)).slug == "left-2"
    assert put(writer, "RIGHT", Entry(0, 3)).slug == "left"
    with writer.begin() as connection, pytest.raises(ValueError, match="of that title already"):
        change_list(connection, "left-2", "right", None)


@pytest.mark.parametrize(
    ("title", "slug"),
    [("Left of!", "left-of"), ("  ¿Où?  ", "où"), ("左 の", "左-の"), ("a" * 200, "a" * 90)],
)
def test_a_slug_is_the_words_of_the_title(title: str, slug: str):
    assert slug_of(title) == slug


def test_of_many_at_once_all_win(writer: Engine):
    barrier = Barrier(6)

    def work(n: int) -> int:
        barrier.wait()
        return put(writer, "Ours", *(Entry(1, f) for f in range(n, n + 10)), by=f"P{n}").n_new

    with ThreadPoolExecutor(6) as pool:
        n_new = list(pool.map(work, range(6)))

    assert sum(n_new) == len(kept(writer)) == 15
    assert {row[0] for row in kept(writer)} == {"ours"}


def test_a_note_that_somebody_else_has_just_changed_is_not_written_over(writer: Engine):
    put(writer, "Ours", Entry(0, 1, "first"))
    with writer.begin() as connection:
        change_note(connection, "ours", Entry(0, 1, "second", "f1"), before="first")

    with writer.begin() as connection, pytest.raises(ValueError, match="somebody has just changed"):
        change_note(connection, "ours", Entry(0, 1, "mine", "f1"), before="first")
    assert kept(writer)[0][7] == "second"


@pytest.mark.parametrize(
    ("title", "entry", "by", "message"),
    [
        ("Ours", Entry(7, 0, source="a.csv, line 2"), "Ada", r"a.csv, line 2: layer 7 has no SAE"),
        ("Ours", Entry(0, 64), "Ada", "feature is 64, expected 0 to 63"),
        ("Ours", Entry(0, -1), "Ada", "feature is -1"),
        ("Ours", Entry(0, 1, dictionary="x"), "Ada", "no run of this atlas starts from"),
        ("Ours", Entry(0, 1, "a\0b"), "Ada", "a note holds a zero byte"),
        ("Ours", Entry(0, 1, "x" * 2001), "Ada", "has 2,001 characters"),
        ("Ours", Entry(0, 1), "  ", "your name is empty"),
        ("?!", Entry(0, 1), "Ada", "needs a letter or a digit"),
        ("x" * 201, Entry(0, 1), "Ada", "the title has 201 characters"),
    ],
)
def test_what_is_not_legal_is_refused_whole(
    writer: Engine, title: str, entry: Entry, by: str, message: str
):
    with pytest.raises(ValueError, match=message):
        put(writer, title, Entry(0, 5), entry, by=by)

    assert kept(writer) == []


def test_too_many_at_once_are_refused(writer: Engine):
    with pytest.raises(ValueError, match="10,001 features at once"):
        put(writer, "Ours", *[Entry(0, 1)] * 10_001)


@pytest.mark.parametrize("change", [delete_list, lambda c, slug: remove_entries(c, slug, [])])
def test_a_list_that_is_gone_is_named(writer: Engine, change):
    with writer.begin() as connection, pytest.raises(ValueError, match="no list 'gone' any more"):
        change(connection, "gone")


def test_a_feature_is_found_in_every_run_of_its_dictionary(
    atlas: Engine, writer: Engine, tmp_path: Path
):
    put(writer, "Ours", Entry(1, 5, "why"))
    ingest(write_run_folder(tmp_path, seed=1), atlas)

    query = """
        SELECT run_id, layer, feature, note, cosine IS NOT NULL
        FROM atlas.listed JOIN atlas.feature_all_runs USING (run_id, layer, feature)
        WHERE list = 'ours' ORDER BY run_id
    """
    with writer.connect() as connection:
        rows = [tuple(row) for row in connection.execute(text(query))]
    assert rows == [(1, 1, 5, "why", True), (2, 1, 5, "why", True)]


def test_comments_are_added_and_nothing_else(writer: Engine, run_folder: Path):
    with writer.begin() as connection:
        add_comment(connection, 1, 0, 3, " Fires on <b>left</b>. ", "Ada")
        with pytest.raises(ValueError, match="the comment is empty"):
            add_comment(connection, 1, 0, 3, " ", "Ada")
        with pytest.raises(ValueError, match="the comment: layer 9 has no SAE"):
            add_comment(connection, 1, 9, 3, "x", "Ada")

    query = "SELECT dictionary, layer, feature, said, author, run FROM lists.comment"
    with writer.connect() as connection:
        assert [tuple(row) for row in connection.execute(text(query))] == [
            ("f1", 0, 3, "Fires on <b>left</b>.", "Ada", run_folder.name)
        ]


def test_an_older_schema_and_back_leaves_what_readers_keep(atlas: Engine, writer: Engine):
    put(writer, "Ours", Entry(1, 5, "why"))
    before = kept(writer)
    writer.dispose()

    for revision in ("20261128_32_stable", "base"):
        downgrade(atlas, revision)
        assert kept(atlas) == before
        migrate(atlas)
        assert kept(atlas) == before
    check(atlas)
