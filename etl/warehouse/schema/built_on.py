"""What others built on the atlas's views and functions: their views, materialized views, triggers.

What PostgreSQL notes in pg_depend, in two steps: the rule of a view and the type of its rows stand
for the view itself. Functions whose body is a text leave no note; they find their views by name.
"""

from collections.abc import Iterable
from graphlib import TopologicalSorter
from typing import NamedTuple

from sqlalchemy import Connection, text


class Thing(NamedTuple):
    """Something in the database."""

    catalog: int
    """The system table that lists it."""
    oid: int


class Described(NamedTuple):
    """A thing in words."""

    type: str
    """As in `materialized view`."""
    identity: str
    """As in `lab.mine`: with DROP and the type before it, it is a statement."""

    def __str__(self) -> str:
        return f"{self.type} {self.identity}"


PARTS = ("index", "toast table", "sequence")
"""They come and go with their table or view."""

Users = dict[Thing, set[Thing]]
"""What depends on a thing, step by step."""


def users(connection: Connection) -> Users:
    """What depends on what, among all that people made."""
    found: Users = {}
    for catalog, oid, used_catalog, used in connection.execute(text(DEPENDENCIES)):
        found.setdefault(Thing(used_catalog, used), set()).add(Thing(catalog, oid))
    return found


def all_users(thing: Thing, uses: Users) -> set[Thing]:
    """What would have to go if it went."""
    found: set[Thing] = set()
    waiting = [thing]
    while waiting:
        new = uses.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def last_first(things: Iterable[Thing], uses: Users) -> list[Thing]:
    """In an order in which they can be dropped."""
    among = set(things)
    graph = {thing: uses.get(thing, set()) & among - {thing} for thing in sorted(among)}
    return list(TopologicalSorter(graph).static_order())


def described(connection: Connection, things: list[Thing]) -> list[Described]:
    """In the catalogue's words."""
    said = text(
        "SELECT type, identity FROM pg_identify_object(CAST(:catalog AS oid), CAST(:oid AS oid), 0)"
    )
    found = [Described(*connection.execute(said, thing._asdict()).one()) for thing in things]
    return [one for one in found if one.type not in PARTS]


DEPENDENCIES = """
WITH thing AS ( -- what stands for another: rules and row types for their relation
    SELECT 'pg_rewrite'::regclass::oid AS classid, oid AS objid, ev_class AS relation
    FROM pg_rewrite WHERE rulename = '_RETURN'
    UNION ALL
    SELECT 'pg_type'::regclass::oid, oid, typrelid FROM pg_type WHERE typrelid <> 0
    UNION ALL
    SELECT 'pg_type'::regclass::oid, listed.oid, of.typrelid
    FROM pg_type AS listed JOIN pg_type AS of ON of.oid = listed.typelem AND of.typrelid <> 0
)
SELECT DISTINCT *
FROM (
    SELECT
        CASE WHEN user_for.objid IS NULL THEN depend.classid ELSE 'pg_class'::regclass::oid END,
        coalesce(user_for.relation, depend.objid),
        CASE WHEN used_for.objid IS NULL THEN depend.refclassid ELSE 'pg_class'::regclass::oid END,
        coalesce(used_for.relation, depend.refobjid)
    FROM pg_depend AS depend
    LEFT JOIN thing AS user_for USING (classid, objid)
    LEFT JOIN thing AS used_for
        ON used_for.classid = depend.refclassid AND used_for.objid = depend.refobjid
    WHERE depend.objid >= 16384 AND depend.refobjid >= 16384 -- not the system's own
) AS edge (user_class, user_id, used_class, used_id)
WHERE (user_class, user_id) <> (used_class, used_id)
"""
