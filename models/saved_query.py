"""A question with its SQL, kept in the database, and the values that a reader chooses in it."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

KINDS = {"bigint": int, "double precision": float, "text": str}
"""Types of parameters, as PostgreSQL and Python call them."""

EXPECTED = {"bigint": "a whole number", "double precision": "a number", "text": "a text"}


class Parameter(NamedTuple):
    """What `:name` stands for in a saved query."""

    name: str
    type: str
    """One of KINDS."""
    default: Any
    """Its value where the reader chooses none."""

    def value(self, said: str) -> Any:
        """What a reader said, as a value to bind."""
        try:
            return KINDS[self.type](said)
        except ValueError:
            raise ValueError(
                f"{self.name} is {said!r}; expected {EXPECTED[self.type]}, such as {self.default}."
            ) from None


class SavedQuery(NamedTuple):
    """A row of atlas.saved_query."""

    slug: str
    """Its name in addresses and commands."""
    topic: str
    title: str
    """The question."""
    description: str
    """What else there is to know, in Markdown; may be empty."""
    sql: str
    parameters: list[Parameter]
    """In the order in which the SQL asks for them."""

    def values(self, said: Mapping[str, str]) -> dict[str, Any]:
        """A value for every parameter: what a reader said, else the default."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in said:
            if name not in known:
                has = ", ".join(f"{p.name}={p.default}" for p in self.parameters) or "none"
                raise ValueError(f"{self.slug} has no parameter {name!r}; it has {has}.")
        return {
            name: parameter.value(said[name]) if name in said else parameter.default
            for name, parameter in known.items()
        }


SAVED_QUERIES = """
SELECT slug, topic, title, description, sql, parameters FROM atlas.saved_query ORDER BY place
"""
"""Rows for `saved_query`."""


def saved_query(
    slug: str, topic: str, title: str, description: str, sql: str, parameters: Iterable[Any]
) -> SavedQuery:
    """A row of the database."""
    chosen = [Parameter(**parameter) for parameter in parameters]
    return SavedQuery(slug, topic, title, description, sql, chosen)


def find(queries: Iterable[SavedQuery], slug: str) -> SavedQuery:
    """The query of this name; ValueError says which there are."""
    known = {query.slug: query for query in queries}
    if slug not in known:
        near = get_close_matches(slug, known, n=1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise ValueError(f"no saved query {slug!r}{meant}; there are {', '.join(known) or 'none'}.")
    return known[slug]
