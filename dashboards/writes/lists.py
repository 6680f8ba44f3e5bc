"""Lists of features and comments on them, written.

Rules and rows are those of `feature-atlas lists`: `models/lists/keeping.py`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.writes.writer import writer
from feature_atlas.models.lists import keeping
from feature_atlas.models.lists.keeping import MAX_ADDED, Added, Entry
from feature_atlas.models.lists.list_file import entries_of

__all__ = [
    "MAX_ADDED",
    "Added",
    "Entry",
    "add_comment",
    "add_to_list",
    "change_list",
    "change_note",
    "delete_list",
    "entries_of",
    "remove_from_list",
]


def add_to_list(run_id: int, title: str, entries: Sequence[Entry], by: str) -> Added:
    """Put features, seen in a run, into the list of this title, made if there is none."""
    with _writing() as connection:
        return keeping.add_entries(connection, run_id, title, entries, by)


def change_list(slug: str, title: str, note: str) -> None:
    """Another title and note; the address stays."""
    with _writing() as connection:
        keeping.change_list(connection, slug, title, note)


def change_note(slug: str, entry: Entry, before: str | None) -> None:
    """Another note of a feature in a list."""
    with _writing() as connection:
        keeping.change_note(connection, slug, entry, before)


def remove_from_list(slug: str, entries: Sequence[Entry]) -> int:
    """Take features out of a list; how many were in it."""
    with _writing() as connection:
        return keeping.remove_entries(connection, slug, entries)


def delete_list(slug: str) -> None:
    """Delete a list with all its entries."""
    with _writing() as connection:
        keeping.delete_list(connection, slug)


def add_comment(run_id: int, layer: int, feature: int, said: str, author: str) -> None:
    """Say something of a feature."""
    with _writing() as connection:
        keeping.add_comment(connection, run_id, layer, feature, said, author)


@contextmanager
def _writing() -> Iterator[Connection]:
    """All of it or nothing; then what pages show is asked for anew."""
    with writer().begin() as connection:
        yield connection
    queries.forget()
