"""Rows for a table that nobody has made up yet, from what its model says of each column.

So a new measurement is loaded, exported and damaged by the tests from its first day. A rule
between two columns may want rows of its own: then the table gets a function in its room.
"""

from typing import Any

import numpy as np
from sqlalchemy import ARRAY, Boolean, Column, Float, Integer, SmallInteger, Table
from sqlalchemy.types import TypeEngine

from feature_atlas.etl.run_folder.table_rows import DENSE, FACTS, LOCAL, expected_columns
from feature_atlas.models.columns import Bounds, bounds
from made_up.world import Columns, World

WORDS = {"regime": "text", "skill": "spatial"}
N_ROWS = 3  # of a table that does not have every feature


def missing_tables(world: World, known: set[str]) -> dict[str, dict[str, Columns]]:
    """A stage of its own for every table of facts that is not among the known ones."""
    return {t.name: {t.name: rows_of(world, t)} for t in FACTS if t.name not in known}


def rows_of(world: World, table: Table) -> Columns:
    """Every feature, or the first few of the first layer."""
    n = world.n if table.name in DENSE else N_ROWS
    return {name: _values(world, name, c, n) for name, c in expected_columns(table).items()}


def _values(world: World, name: str, column: Column[Any], n: int) -> Any:
    if name in ("layer", "feature"):
        return getattr(world, name)[:n]
    if name in LOCAL.values():
        return [WORDS[name]] * n if name in WORDS else np.arange(n, dtype=np.int64)
    allowed = bounds(column) or Bounds()
    if isinstance(column.type, ARRAY):
        return [list(_numbers(world, column.type.item_type, allowed, 2)) for _ in range(n)]
    if isinstance(column.type, Boolean):
        return np.arange(n) % 2 == 0
    if isinstance(column.type, (Float, Integer)):
        return _numbers(world, column.type, allowed, n)
    return [allowed.values[0]] * n if allowed.values else [f"{name} {row}" for row in range(n)]


def _numbers(world: World, kind: TypeEngine[Any], allowed: Bounds, n: int) -> np.ndarray:
    """Inside the bounds: whole ones in turn, others at random."""
    low, high = max(allowed.low, -1.0), min(allowed.high, 1.0)
    if isinstance(kind, Float):
        drawn = world.random.uniform(low, max(low, high), n)
        return drawn.astype(np.float32 if kind.__visit_name__ == "REAL" else np.float64)
    first = int(max(allowed.low, 0))
    whole = first + np.arange(n) % int(min(allowed.high - first + 1, n))
    return whole.astype(np.int16 if isinstance(kind, SmallInteger) else np.int64)
