"""The cookbook's SQL, asked of an edition in DuckDB: the rows that Postgres gives.

Two settings make DuckDB sort nulls and divide whole numbers as Postgres does.
"""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pytest
from cookbook import RECIPES
from sqlalchemy import Engine

from feature_atlas.etl.bridges.edition.edition import export_edition
from feature_atlas.models.user_sql import run_user_sql

ANOTHER_RUN = {
    "Which runs are there, and what was studied in them?",
    "Which features changed their label between two runs?",
    "Which features turned further in the later run?",
    "How many features became adapted, and how many no longer are?",
    "Does the current run agree with the others on how far each feature turned?",
}
"""An edition has one run."""

LISTS = {
    "What do the features of a list have in common?",
    "Which spatial features are in nobody's list yet?",
}
"""An edition has nothing of its readers'."""

ANOTHER_DIALECT = {
    "Which mid-layer features turned most, fire on a word and survive neutral prompts?": (
        ("e.question ~* ", "regexp_matches(e.question, "),
        (r"('\m' || :word || '\M')", r"'\b' || :word || '\b', 'i')"),  # the end of a word
        ("n_layers / 4", "n_layers // 4"),
    ),
}
"""What has to be written otherwise."""

OPEN_ORDER = {"Which heads drive the spatial features most?"}
"""Rows that are equal in what they are sorted by come in any order."""


@pytest.fixture(scope="module")
def edition(reader: Engine, tmp_path_factory) -> Iterator[duckdb.DuckDBPyConnection]:
    done = export_edition(reader, "2", tmp_path_factory.mktemp("recipes") / "edition")
    (file,) = done.folder.glob("*.duckdb")
    with duckdb.connect(str(file), read_only=True) as database:
        database.execute("SET default_null_order = 'postgres'; SET integer_division = true")
        yield database


@pytest.mark.parametrize("question", sorted(RECIPES.keys() - ANOTHER_RUN - LISTS))
def test_duckdb_answers_as_postgres_does(question: str, reader: Engine, edition):
    _, sql, values, _ = RECIPES[question]
    expected = run_user_sql(reader, sql, max_rows=100_000, values=values)
    for postgres, duck in ANOTHER_DIALECT.get(question, ()):
        assert postgres in sql
        sql = sql.replace(postgres, duck)

    answer = edition.execute(re.sub(r"(?<!:):(\w+)", r"$\1", sql), values)

    assert [column for column, *_ in answer.description] == expected.names
    found = [tuple(map(_plain, row)) for row in answer.fetchall()]
    right = [tuple(map(_plain, row)) for row in expected.rows]
    if question in OPEN_ORDER:
        found, right = sorted(found, key=str), sorted(right, key=str)
    assert found == right


def test_most_of_the_cookbook_is_the_same_in_both():
    assert len(RECIPES) - len(ANOTHER_RUN) - len(ANOTHER_DIALECT) >= 45


def _plain(value: Any) -> Any:
    """A value without the differences of the two drivers."""
    if isinstance(value, Decimal | float):
        return float(np.float32(value))  # sums are added in another order
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, str) and value[:1] in "[{":
        return json.dumps(json.loads(value))
    return json.dumps(value) if isinstance(value, list | dict) else value
