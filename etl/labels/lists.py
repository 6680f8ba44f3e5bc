"""Lists of features by whoever works at the command line; pages keep the same ones."""

from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, text

from feature_atlas.etl.warehouse.runs import published_run
from feature_atlas.models.lists.keeping import Added, add_entries
from feature_atlas.models.lists.list_file import entries_of
from feature_atlas.models.lists.listing import EVERYTHING, LISTED
from feature_atlas.models.notation.csv_text import SHEET_ENCODING, read_csv, write_csv


class Listed(NamedTuple):
    """A list with the numbers of a run."""

    slug: str
    """The run."""
    names: list[str]
    """Of the columns."""
    rows: list[tuple[Any, ...]]
    """A feature each."""


def all_lists(engine: Engine) -> list[dict[str, Any]]:
    """Every list, newest first."""
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(LISTS)).mappings()]


def show_list(engine: Engine, slug: str, run: str | None) -> Listed:
    """The features of a list."""
    with engine.connect() as connection:
        _require(connection, slug)
        chosen = published_run(connection, run)
        values = {"slug": slug, "run_id": chosen.id, "first": 0, "n_rows": EVERYTHING}
        found = connection.execute(text(LISTED), values)
        return Listed(chosen.slug, list(found.keys()), [tuple(row) for row in found])


def export_list(engine: Engine, slug: str, file: Path, run: str | None) -> Listed:
    """Write a list as CSV, with the numbers of a run."""
    listed = show_list(engine, slug, run)
    with file.open("w", encoding=SHEET_ENCODING, newline="") as stream:
        write_csv(stream, listed.names, listed.rows)
    return listed


def import_list(engine: Engine, file: Path, title: str, run: str | None, by: str) -> Added:
    """Put the features of a CSV file into the list of this title, all or none."""
    entries = entries_of(read_csv(file), str(file))
    with engine.begin() as connection:
        return add_entries(connection, published_run(connection, run).id, title, entries, by)


def _require(connection: Connection, slug: str) -> None:
    known = connection.scalars(text("SELECT slug FROM lists.list ORDER BY slug")).all()
    if slug not in known:
        raise ValueError(f"no list {slug!r}. There are: {', '.join(known) or 'none'}.")


LISTS = """
SELECT list.slug, list.title, list.owner, count(entry.list_id) AS features, list.note,
       to_char(list.created_at, 'YYYY-MM-DD HH24:MI') AS made
FROM lists.list LEFT JOIN lists.entry ON entry.list_id = list.id
GROUP BY list.id ORDER BY list.created_at DESC, list.id DESC
"""
