"""The files of `migrations/views`, and the cookbook: what each makes, what it reads made before."""

import hashlib
import re
from graphlib import TopologicalSorter
from importlib.resources import files
from typing import NamedTuple

from feature_atlas.etl.warehouse.cookbook import cookbook, saved_query_view
from feature_atlas.etl.warehouse.schema.column_comments import table_comments, view_units


class Makes(NamedTuple):
    """What a file puts on top of the tables."""

    kind: str
    """VIEW or FUNCTION."""
    name: str
    """Without the schema."""


def views() -> dict[str, str]:
    """SQL of every view and function by file, in an order in which they can be made."""
    folder = files("feature_atlas.migrations") / "views"
    found = {
        entry.name.removesuffix(".sql"): entry.read_text(encoding="utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    }
    found["saved_query"] = saved_query_view(cookbook())
    found["table_comments"] = table_comments()
    found["view_units"] = view_units(sorted(found))
    uses = {
        name: set(re.findall(r"\batlas\.(\w+)", found[name])) - {name} for name in sorted(found)
    }
    order = TopologicalSorter({name: sorted(uses[name] & found.keys()) for name in uses})
    return {name: found[name] for name in order.static_order()}


def made_by(sql: str) -> Makes | None:
    """What a file makes; None: it only says something about the others."""
    found = re.search(r"^CREATE (VIEW|FUNCTION) atlas\.(\w+)", sql, re.MULTILINE)
    return None if found is None else Makes(found[1], found[2])


def replacing(sql: str) -> str:
    """The same, for what is there already."""
    return re.sub(r"^CREATE (?=VIEW|FUNCTION)", "CREATE OR REPLACE ", sql, flags=re.MULTILINE)


def renamed(sql: str, name: str, other: str) -> str:
    """The same under another name."""
    return re.sub(rf"\batlas\.{name}\b", f"atlas.{other}", sql)


def comments_of(sql: str) -> str:
    """What a file says of what it makes."""
    found = re.search(r"^COMMENT ON .*", sql, re.MULTILINE | re.DOTALL)
    return "" if found is None else found[0]


def digest(sqls: dict[str, str]) -> str:
    """A name for the content of all files."""
    return hashlib.sha256("\0".join(sqls.values()).encode()).hexdigest()[:16]
