"""The cookbook's questions, and the folders of the runs that answer them."""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from pandas.testing import assert_frame_equal
from run_folder import read_rows

from feature_atlas.etl.warehouse.cookbook import cookbook

KEY = ["layer", "feature"]


class Recipe(NamedTuple):
    question: str
    sql: str
    values: dict[str, Any]
    may_be_empty: bool


def recipes() -> list[Recipe]:
    return [
        Recipe(q.title, q.sql, q.values({}), "may be empty" in q.description.lower())
        for q in cookbook()
    ]


RECIPES = {recipe.question: recipe for recipe in recipes()}


class Runs(NamedTuple):
    before: Path
    after: Path

    def table(self, name: str, **where: object) -> pd.DataFrame:
        """What the later run's folder holds."""
        return rows_of(self.after, name, **where)


def rows_of(folder: Path, name: str, **where: object) -> pd.DataFrame:
    rows = read_rows(folder, name).to_pandas()
    for column, value in where.items():
        rows = rows[rows[column] == value]
    return rows.reset_index(drop=True)


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Equal in values and order, whatever the types of the numbers."""
    assert len(expected) > 0
    expected = expected[found.columns.tolist()].reset_index(drop=True)
    assert_frame_equal(found, expected, check_dtype=False, rtol=1e-5)
