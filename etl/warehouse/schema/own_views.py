"""The atlas's own views and functions: found, taken away, put in place anew.

What is not ours is never dropped. A view or function that somebody's view needs is replaced where
it stands; all others are dropped and made again, with the rights that others had on them.
"""

from collections.abc import Iterable
from typing import NamedTuple, NoReturn

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from feature_atlas.etl.warehouse.schema.built_on import (
    Described,
    Thing,
    all_users,
    described,
    last_first,
    users,
)
from feature_atlas.etl.warehouse.schema.grants import Grant, grants_on
from feature_atlas.etl.warehouse.schema.view_files import (
    Makes,
    comments_of,
    made_by,
    renamed,
    replacing,
    views,
)
from feature_atlas.models import SCHEMA

Made = dict[Thing, str]
"""Views and functions, and what they are called with their arguments."""


NEWER = {
    *("ablation_bench", "claim", "claim_ablation", "claim_check", "claim_dictionary"),
    *("claim_features", "claim_heads", "claim_heads_of_feature", "claim_meaning", "claim_sets"),
    *("columns", "first_heads", "mean_interval", "near", "paper_check", "paper_claim"),
    *("review_agreement", "share_interval", "spatial_code_report", "supervised_report"),
}
"""Ours by name only since there are notes: before, one who has such a view made it himself."""


class Standing(NamedTuple):
    """What could not be taken away, and what was."""

    held: Made
    """Ours that others built on."""
    foreign: dict[Thing, list[Described]]
    """By what is held: what others built on it, in the order in which it can be dropped."""
    grants: list[Grant]
    """Rights of others on all that was there."""

    @property
    def others(self) -> list[Described]:
        """All that others built, in the order in which it can be dropped."""
        return list(dict.fromkeys(one for found in self.foreign.values() for one in found))


def take_away(connection: Connection) -> Standing:
    """Drop what is ours and nobody built on."""
    own, uses = own_views(connection), users(connection)
    foreign = {}
    for thing in own:
        others = all_users(thing, uses) - own.keys()
        if others:
            foreign[thing] = described(connection, last_first(others, uses))
    grants = grants_on(connection, [thing.oid for thing in own])
    for thing in last_first(own.keys() - foreign.keys(), uses):
        connection.exec_driver_sql(f"DROP {_kind(own[thing])} {own[thing]}")
    return Standing({thing: own[thing] for thing in foreign}, foreign, grants)


def put_in_place(connection: Connection, sqls: dict[str, str], standing: Standing) -> Made:
    """Make or replace what the files say; all that is ours now."""
    made: Made = {}
    for sql in sqls.values():
        makes = made_by(sql)
        if makes is None:
            _execute(connection, sql)
            continue
        of_that_name = set(named(connection, makes)) & standing.held.keys()
        if of_that_name:
            made |= _replace(connection, sql, makes, of_that_name, standing)
        else:
            made |= _make(connection, sql, makes)
    return made | standing.held  # of which some have no file any more, but a user


def remember(connection: Connection, made: Made) -> None:
    """Note what is ours."""
    connection.execute(text(f"DELETE FROM {SCHEMA}.view_file"))
    rows = [{"name": name} for name in sorted(made.values())]
    if rows:
        connection.execute(text(f"INSERT INTO {SCHEMA}.view_file (name) VALUES (:name)"), rows)


def own_views(connection: Connection) -> Made:
    """What is ours: noted by the last `migrate`; before there were notes, named as our files."""
    there = named(connection, None)
    if connection.scalar(text(f"SELECT to_regclass('{SCHEMA}.view_file')")) is None:
        names = {makes.name for sql in views().values() if (makes := made_by(sql))} - NEWER
        ours = {f"{SCHEMA}.{name}" for name in names}
        return {thing: name for thing, name in there.items() if name.partition("(")[0] in ours}
    noted = set(connection.scalars(text(f"SELECT name FROM {SCHEMA}.view_file")))
    return {thing: name for thing, name in there.items() if name in noted}


def named(connection: Connection, makes: Makes | None) -> Made:
    """Views and functions of our schema: all of them, or those of a kind and name."""
    kind, name = makes or (None, None)
    rows = connection.execute(text(NAMED), {"schema": SCHEMA, "kind": kind, "name": name})
    return {Thing(catalog, oid): said for catalog, oid, said in rows}


DROPPED = ("view", "materialized view", "function", "trigger", "rule")
"""What can go and come back; nobody is told to drop a table."""


def refuse(what: str, reason: str, foreign: Iterable[Described]) -> NoReturn:
    """Nothing of others is dropped: say what they have to do."""
    first_to_go = list(foreign)
    dumped = [f"-t '{one.identity}'" for one in first_to_go if one.type.endswith("view")]
    steps = [f"save them: pg_dump --schema-only {' '.join(dumped)}"] * bool(dumped)
    steps += [
        f"DROP {one.type.upper()} {one.identity};" for one in first_to_go if one.type in DROPPED
    ]
    steps += [f"free the {one} from it" for one in first_to_go if one.type not in DROPPED]
    steps += ["feature-atlas migrate", "make them again"]
    raise RuntimeError(
        f"{what} cannot be brought to this version: {reason}. On it rests what others made, which "
        f"is not the atlas's to drop: {', '.join(map(str, reversed(first_to_go)))}. Nothing was "
        "changed. Run one after the other:\n  " + "\n  ".join(steps)
    )


def _make(connection: Connection, sql: str, makes: Makes) -> Made:
    before = named(connection, makes)
    try:
        _execute(connection, sql)
    except DBAPIError as error:
        if isinstance(
            error.orig, (psycopg.errors.DuplicateTable, psycopg.errors.DuplicateFunction)
        ):
            raise RuntimeError(
                f"this version brings a {makes.kind.lower()} {SCHEMA}.{makes.name}, but somebody "
                "has made something of that name, which is not the atlas's to replace. Nothing "
                f"was changed. Rename it (ALTER {makes.kind} {SCHEMA}.{makes.name} RENAME TO ...), "
                "then run `feature-atlas migrate`."
            ) from None
        raise
    after = named(connection, makes)
    return {thing: after[thing] for thing in after.keys() - before.keys()}


def _replace(
    connection: Connection, sql: str, makes: Makes, old: set[Thing], standing: Standing
) -> Made:
    """Another definition under the same name, for those who built on it."""
    foreign = standing.foreign[min(old)]
    what = f"{SCHEMA}.{makes.name}"
    before = named(connection, makes)
    if makes.kind == "VIEW":
        _forget_comments(connection, makes.name)
    attempt = connection.begin_nested()
    try:
        _execute(connection, replacing(sql))
        attempt.commit()
    except DBAPIError as error:
        attempt.rollback()
        if isinstance(error.orig, psycopg.errors.InvalidFunctionDefinition):
            refuse(what, error.orig.diag.message_primary or "", foreign)
        if not isinstance(error.orig, psycopg.errors.InvalidTableDefinition):
            raise
        _widen(connection, sql, makes.name, foreign)
    after = named(connection, makes)
    if after.keys() - before.keys():
        refuse(standing.held[min(old)], "it has other arguments now", foreign)
    return {thing: after[thing] for thing in old}


def _widen(connection: Connection, sql: str, name: str, foreign: list[Described]) -> None:
    """Replace a view whose columns moved: its old ones stay where they are, new ones follow."""
    new = f"{name}__new"
    _execute(connection, renamed(sql, name, new))
    there, wanted = _columns(connection, name), _columns(connection, new)
    gone = [column for column, type_ in there.items() if wanted.get(column) != type_]
    if gone:
        refuse(f"{SCHEMA}.{name}", f"its columns {', '.join(gone)} go or get another type", foreign)
    definition = connection.scalar(text(f"SELECT pg_get_viewdef('{SCHEMA}.{new}'::regclass)"))
    _execute(
        connection,
        f"CREATE OR REPLACE VIEW {SCHEMA}.{name} AS SELECT {', '.join(there | wanted)}"
        f" FROM ({str(definition).rstrip(';')}) AS {new}",
    )
    _execute(connection, f"DROP VIEW {SCHEMA}.{new}")
    _execute(connection, comments_of(sql))


def _columns(connection: Connection, view: str) -> dict[str, str]:
    """Quoted names and types, in order."""
    query = (
        "SELECT quote_ident(attname) AS attname, format_type(atttypid, atttypmod) AS type"
        " FROM pg_attribute"
        f" WHERE attrelid = '{SCHEMA}.{view}'::regclass AND attnum > 0 ORDER BY attnum"
    )
    return {row.attname: row.type for row in connection.execute(text(query))}


def _forget_comments(connection: Connection, view: str) -> None:
    """The files say all of them anew."""
    for column in _columns(connection, view):
        connection.exec_driver_sql(f"COMMENT ON COLUMN {SCHEMA}.{view}.{column} IS NULL")


def _kind(name: str) -> str:
    return "FUNCTION" if name.endswith(")") else "VIEW"


def _execute(connection: Connection, sql: str) -> None:
    connection.exec_driver_sql(sql, execution_options={"no_parameters": True})


NAMED = """
SELECT 'pg_class'::regclass::oid, oid, oid::regclass::text
FROM pg_class
WHERE relnamespace = to_regnamespace(:schema) AND relkind = 'v'
  AND coalesce(CAST(:kind AS text), 'VIEW') = 'VIEW'
  AND relname = coalesce(CAST(:name AS name), relname)
UNION ALL
SELECT 'pg_proc'::regclass::oid, oid, oid::regprocedure::text
FROM pg_proc
WHERE pronamespace = to_regnamespace(:schema)
  AND coalesce(CAST(:kind AS text), 'FUNCTION') = 'FUNCTION'
  AND proname = coalesce(CAST(:name AS name), proname)
"""
