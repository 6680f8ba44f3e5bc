"""Lists and comments: what is legal, and how it is written; pages and commands come through here.

Everything is one statement, so that of two people at once both win: a title that somebody else has
just taken is their list, and a feature that is in a list already stays as it is.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, text

from feature_atlas.models.storable_text import fault_of

MAX_ADDED = 10_000
"""Features that are added at once at most."""


class Entry(NamedTuple):
    """A feature on its way into a list."""

    layer: int
    """Of its dictionary."""
    feature: int
    """Index in the layer."""
    note: str | None = None
    """Why."""
    dictionary: str | None = None
    """Fingerprint of its base dictionary; None: that of the run it is seen in."""
    source: str = "the list"
    """Where it stands, for errors."""


class Added(NamedTuple):
    """What became of some entries."""

    slug: str
    """The list."""
    title: str
    """What it is called."""
    n_new: int
    """Features that were not in it."""
    n_there: int
    """Features that were; they stay as they are."""


def add_entries(
    connection: Connection, run_id: int, title: str, entries: Sequence[Entry], by: str
) -> Added:
    """Put features, seen in a run, into the list of this title, which is made if there is none."""
    if len(entries) > MAX_ADDED:
        raise ValueError(
            f"{len(entries):,} features at once, expected {MAX_ADDED:,} at most: narrow them down. "
            "Nothing was written."
        )
    run = _run(connection, run_id)
    entries = [one._replace(dictionary=one.dictionary or run.dictionary) for one in entries]
    _require_known(connection, entries)
    values = {
        "by": _said("your name", by, 100), "run": run.slug,
        "dictionaries": [one.dictionary for one in entries],
        "layers": [one.layer for one in entries],
        "features": [one.feature for one in entries],
        "notes": [_note(one.note, f"{one.source}: a note") for one in entries],
    }  # fmt: skip
    found = find_or_make_list(connection, title, by)
    n_new = connection.execute(text(ADD_ENTRIES), values | {"list": found.id}).rowcount
    return Added(found.slug, found.title, n_new, len(entries) - n_new)


def find_or_make_list(connection: Connection, title: str, owner: str) -> Row[Any]:
    """id, slug and title of the list of this title, whatever its case."""
    values = {"title": _title(title), "owner": _said("your name", owner, 100)}
    slug = slug_of(values["title"])
    for number in range(1, 1000):
        # the slug may be that of a list that was renamed: then the next one
        values["slug"] = slug if number == 1 else f"{slug}-{number}"
        connection.execute(text(MAKE_LIST), values)
        found = connection.execute(text(FIND_LIST), values).one_or_none()
        if found is not None:
            return found
    raise ValueError(f"there are a thousand lists called like {slug!r}: choose another title.")


def change_list(connection: Connection, slug: str, title: str, note: str | None) -> None:
    """Give a list another title and note; its slug, and so its address, stays."""
    values = {"slug": slug, "title": _title(title), "note": _note(note, "the note")}
    taken = connection.scalar(text(TAKEN), values)
    if taken is not None:
        raise ValueError(f"there is a list of that title already: {taken}. Nothing was written.")
    _require_one(connection.execute(text(CHANGE_LIST), values).rowcount, slug)


def delete_list(connection: Connection, slug: str) -> None:
    """Delete a list with all its entries."""
    _require_one(connection.execute(text(DELETE_LIST), {"slug": slug}).rowcount, slug)


def change_note(connection: Connection, slug: str, entry: Entry, before: str | None) -> None:
    """Say anew why a feature is in a list, unless somebody else has just done so."""
    values = {
        "list": _id(connection, slug), "dictionary": entry.dictionary, "layer": entry.layer,
        "feature": entry.feature, "before": before, "note": _note(entry.note, "the note"),
    }  # fmt: skip
    if connection.execute(text(CHANGE_NOTE), values).rowcount != 1:
        raise ValueError(
            "somebody has just changed this note or removed the feature; look at the list as it "
            "is now, and say it again. Nothing was written."
        )


def remove_entries(connection: Connection, slug: str, entries: Sequence[Entry]) -> int:
    """Take features out of a list; how many were in it."""
    values = {
        "list": _id(connection, slug),
        "dictionaries": [one.dictionary for one in entries],
        "layers": [one.layer for one in entries],
        "features": [one.feature for one in entries],
    }
    return connection.execute(text(REMOVE_ENTRIES), values).rowcount


def add_comment(
    connection: Connection, run_id: int, layer: int, feature: int, said: str, author: str
) -> None:
    """Say something of a feature, as it is seen in a run."""
    run = _run(connection, run_id)
    place = Entry(layer, feature, dictionary=run.dictionary, source="the comment")
    _require_known(connection, [place])
    values = {
        "dictionary": run.dictionary, "run": run.slug, "layer": layer, "feature": feature,
        "said": _said("the comment", said, 2000), "author": _said("your name", author, 100),
    }  # fmt: skip
    connection.execute(text(ADD_COMMENT), values)


def slug_of(title: str) -> str:
    """The words of a title as part of an address; letters of any script stay."""
    slug = "-".join(re.findall(r"\w+", title.casefold()))[:90].strip("-_")
    if not slug:
        raise ValueError(f"a title needs a letter or a digit; this one is {title!r}.")
    return slug


def _require_known(connection: Connection, entries: Sequence[Entry]) -> None:
    """Raise what is wrong with the first entry that is no feature of its dictionary."""
    known = {row.dictionary: row for row in connection.execute(text(DICTIONARIES))}
    for one in entries:
        base = known.get(one.dictionary)
        if base is None:
            wrong = f"no run of this atlas starts from dictionary {one.dictionary!r}"
        elif one.layer not in base.layers:
            wrong = f"layer {one.layer} has no SAE; {base.name} has layers {list(base.layers)}"
        elif not 0 <= one.feature < base.d_sae:
            wrong = f"feature is {one.feature}, expected 0 to {base.d_sae - 1}"
        else:
            continue
        raise ValueError(f"{one.source}: {wrong}. Nothing was written.")


def _run(connection: Connection, run_id: int) -> Row[Any]:
    return connection.execute(text(RUN), {"run": run_id}).one()


def _id(connection: Connection, slug: str) -> int:
    found = connection.scalars(text(LIST_ID), {"slug": slug}).all()
    _require_one(len(found), slug)
    return int(found[0])


def _require_one(n_rows: int, slug: str) -> None:
    if n_rows != 1:
        raise ValueError(f"there is no list {slug!r} any more. Nothing was written.")


def _title(title: str) -> str:
    return _said("the title", " ".join(title.split()), 200)


def _note(note: str | None, what: str) -> str | None:
    return _said(what, note, 2000) if note and note.strip() else None


def _said(what: str, said: str, longest: int) -> str:
    said = said.strip()
    wrong = fault_of(said)
    if not said:
        wrong = "is empty"
    elif wrong:
        wrong = f"holds {wrong}"
    elif len(said) > longest:
        wrong = f"has {len(said):,} characters, expected {longest:,} at most"
    if wrong:
        raise ValueError(f"{what} {wrong}. Nothing was written.")
    return said


RUN = """
SELECT run.slug, sae_set.fingerprint AS dictionary
FROM atlas.run JOIN atlas.sae_set ON sae_set.id = run.sae_set_id WHERE run.id = :run
"""

DICTIONARIES = "SELECT fingerprint AS dictionary, name, layers, d_sae FROM atlas.sae_set"

MAKE_LIST = """
INSERT INTO lists.list (slug, title, owner) VALUES (:slug, :title, :owner) ON CONFLICT DO NOTHING
"""

FIND_LIST = "SELECT id, slug, title FROM lists.list WHERE lower(title) = lower(:title)"

LIST_ID = "SELECT id FROM lists.list WHERE slug = :slug"

TAKEN = "SELECT slug FROM lists.list WHERE lower(title) = lower(:title) AND slug <> :slug"

CHANGE_LIST = "UPDATE lists.list SET title = :title, note = :note WHERE slug = :slug"

DELETE_LIST = "DELETE FROM lists.list WHERE slug = :slug"

ADD_ENTRIES = """
INSERT INTO lists.entry (list_id, dictionary, layer, feature, note, added_by, run)
SELECT :list, dictionary, layer, feature, note, :by, :run
FROM unnest(
    cast(:dictionaries AS text[]), cast(:layers AS smallint[]), cast(:features AS integer[]),
    cast(:notes AS text[])
) AS said (dictionary, layer, feature, note)
ON CONFLICT DO NOTHING
"""

CHANGE_NOTE = """
UPDATE lists.entry SET note = :note
WHERE list_id = :list AND dictionary = :dictionary AND layer = :layer AND feature = :feature
  AND note IS NOT DISTINCT FROM cast(:before AS text)
"""

REMOVE_ENTRIES = """
DELETE FROM lists.entry WHERE list_id = :list AND (dictionary, layer, feature) IN (
    SELECT * FROM unnest(
        cast(:dictionaries AS text[]), cast(:layers AS smallint[]), cast(:features AS integer[])
    )
)
"""

ADD_COMMENT = """
INSERT INTO lists.comment (dictionary, layer, feature, said, author, run)
VALUES (:dictionary, :layer, :feature, :said, :author, :run)
"""
