"""What the address of the SQL page asks: `?sql=` or `?saved=`, values of parameters, limits."""

from typing import Any, NamedTuple

import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.models.named_parameters import parameter_names
from feature_atlas.models.saved_query import SavedQuery, find, saved_query

MAX_ROWS = (100, 1_000, 10_000, 50_000)
MAX_SECONDS = (2, 5, 10, 30)
ROWS, SECONDS = 1_000, 10
"""What is taken where the address says nothing."""

OWN_NAMES = (
    *("sql", "saved", "max_rows", "max_seconds", "explain", "chart", "across", "up"),
    *("beside", "relation", "embed", "embed_options"),
)
"""What else the address says."""


class Asking(NamedTuple):
    """A statement with the values that are known of it, and its limits."""

    sql: str
    saved: SavedQuery | None
    """The saved query that it is."""
    said: dict[str, str]
    """Values as a reader wrote them, by parameter."""
    max_rows: int
    max_seconds: int

    @property
    def names(self) -> list[str]:
        """Of its parameters."""
        return parameter_names(self.sql)

    @property
    def missing(self) -> list[str]:
        """Parameters that nobody gave a value."""
        return [] if self.saved else [name for name in self.names if name not in self.said]

    def values(self) -> dict[str, Any]:
        """To bind; the database finds the types of what is not saved."""
        return dict(self.said) if self.saved is None else self.saved.values(self.said)


def all_saved() -> list[SavedQuery]:
    """The saved queries, in the cookbook's order."""
    return [saved_query(*row) for row in queries.saved_queries().itertuples(index=False)]


def asked() -> Asking:
    """What the address asks; ValueError if it asks for what there is not."""
    address = st.query_params
    slug = address.get("saved")
    query = find(all_saved(), slug) if slug is not None else None
    sql = address.get("sql", "") if query is None else query.sql
    own = [name for name in parameter_names(sql) if name in OWN_NAMES]
    if own:
        raise ValueError(f":{own[0]} has a meaning in this page's address; call it otherwise.")
    said = {name: address[name] for name in address if name not in OWN_NAMES}
    if query is None:
        said = {name: said[name] for name in parameter_names(sql) if name in said}
    return Asking(
        sql, query, said, _one_of("max_rows", MAX_ROWS, ROWS),
        _one_of("max_seconds", MAX_SECONDS, SECONDS),
    )  # fmt: skip


def ask(sql: str, said: dict[str, str], max_rows: int, max_seconds: int) -> None:
    """Put a statement into the address: by its name, where it is a saved one."""
    known = {query.sql.strip(): query.slug for query in all_saved()}
    slug = known.get(sql.strip())
    names = parameter_names(sql)
    address = {name: value for name, value in said.items() if name in names}
    address |= {"sql": sql} if slug is None else {"saved": slug}
    if max_rows != ROWS:
        address["max_rows"] = str(max_rows)
    if max_seconds != SECONDS:
        address["max_seconds"] = str(max_seconds)
    for name in ("explain", "chart", "across", "up", "beside", "relation"):
        if name in st.query_params:
            address[name] = st.query_params[name]
    st.query_params.from_dict(address)


def _one_of(name: str, options: tuple[int, ...], default: int) -> int:
    said = st.query_params.get(name, str(default))
    if said not in map(str, options):
        raise ValueError(
            f"{name} is {said[:20]!r}; expected one of {', '.join(map(str, options))}."
        )
    return int(said)
