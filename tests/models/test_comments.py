"""The catalogue describes itself: no view, table, column or function without a comment."""

import pytest
from sqlalchemy import Engine, text

from feature_atlas.models import Base, Kept
from feature_atlas.models.session import make_reader_engine
from feature_atlas.models.units import with_unit

SILENT_RELATIONS = """
    SELECT relname FROM pg_class
    WHERE relnamespace = 'atlas'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
      AND NOT relispartition AND relname <> 'alembic_version'
      AND coalesce(obj_description(oid, 'pg_class'), '') = ''
    ORDER BY 1
"""
SILENT_COLUMNS = """
    SELECT relname || '.' || attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE relnamespace = 'atlas'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
      AND NOT relispartition AND relname <> 'alembic_version'
      AND attnum > 0 AND NOT attisdropped
      AND coalesce(col_description(attrelid, attnum), '') = ''
    ORDER BY 1
"""
SILENT_FUNCTIONS = """
    SELECT oid::regprocedure::text FROM pg_proc
    WHERE pronamespace = 'atlas'::regnamespace
      AND coalesce(obj_description(oid, 'pg_proc'), '') = ''
    ORDER BY 1
"""


@pytest.mark.parametrize("query", [SILENT_RELATIONS, SILENT_COLUMNS, SILENT_FUNCTIONS])
def test_nothing_in_the_schema_is_without_a_comment(query: str, engine: Engine):
    with engine.connect() as connection:
        assert connection.scalars(text(query)).all() == []


def test_a_comment_that_is_missing_would_be_noticed(engine: Engine):
    with engine.begin() as connection:
        connection.execute(text("CREATE VIEW atlas.silent AS SELECT 1 AS number"))

        assert connection.scalars(text(SILENT_RELATIONS)).all() == ["silent"]
        assert connection.scalars(text(SILENT_COLUMNS)).all() == ["silent.number"]
        connection.rollback()


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (
            "adapted.cosine",
            "decoder cosine in the text regime; 1: kept, 0: a new direction (4.2)"
            " [cosine; -1 to 1]",
        ),
        ("top_example.question", "question, or statement to judge (VSR)"),
        ("spatial.f1", "F1 of its best description on held-out samples; 1: perfect (B) [fraction]"),
        (
            "head_ranking.place",
            "place among the heads of this run, corruption and method by mean_score; 1: first "
            "[index]",
        ),
    ],
)
def test_a_view_says_of_a_column_what_its_table_says_unless_it_knows_better(
    column: str, said: str, engine: Engine
):
    query = """
        SELECT col_description(attrelid, attnum) FROM pg_attribute
        WHERE attrelid = to_regclass('atlas.' || split_part(:column, '.', 1))
          AND attname = split_part(:column, '.', 2)
    """
    with engine.connect() as connection:
        assert connection.scalar(text(query), {"column": column}) == said


NUMBERS_WITHOUT_UNIT = """
    SELECT relation || '.' || "column" FROM atlas.columns
    WHERE type ~ '^(smallint|integer|bigint|real|double precision|numeric)' AND unit IS NULL
    ORDER BY 1
"""


def test_every_number_has_a_unit_or_is_no_quantity(engine: Engine):
    """A new name belongs into models/units.py."""
    with engine.begin() as connection:
        assert connection.scalars(text(NUMBERS_WITHOUT_UNIT)).all() == []
        connection.execute(text("CREATE VIEW atlas.silent AS SELECT 1 AS n_one, 2 AS something"))
        assert connection.scalars(text(NUMBERS_WITHOUT_UNIT)).all() == [
            "silent.n_one", "silent.something"
        ]  # fmt: skip
        connection.rollback()


@pytest.mark.parametrize(
    ("column", "unit", "range_", "type_"),
    [
        ("decoder_cosine.cosine", "cosine", "-1 to 1", "real"),
        ("feature.cosine", "cosine", "-1 to 1", "real"),
        ("published_result.delta_vsr", "percentage points", None, "double precision"),
        ("ablation_summary.delta_vsr", "fraction", None, "real"),
        ("activation_histogram.n_tokens", "count", "0 or more", "integer[]"),
        ("layer_summary.n_dead", "count", None, "bigint"),
        ("head_attribution.k", "raw residual units", None, "real"),
        ("sae_set.k", "count", None, "integer"),
        ("list.title", None, None, "text"),
    ],
)
def test_columns_say_unit_range_and_type(
    column: str, unit: str | None, range_: str | None, type_: str, engine: Engine
):
    query = """
        SELECT unit, range, type, description FROM atlas.columns
        WHERE relation || '.' || "column" = :column
    """
    with engine.connect() as connection:
        (found,) = connection.execute(text(query), {"column": column})

    assert tuple(found)[:3] == (unit, range_, type_)
    assert found.description
    assert "[" not in found.description


def test_a_reader_sees_what_he_may_read(loaded_url: str):
    reader = make_reader_engine(loaded_url)
    with reader.connect() as connection:
        seen = connection.execute(
            text("SELECT DISTINCT relation, kind, n_rows_estimate FROM atlas.columns")
        )
        found = {name: (kind, n_rows) for name, kind, n_rows in seen}
        held = connection.scalar(text("SELECT count(*) FROM decoder_cosine"))

    assert found["feature"] == ("view", None)
    assert found["decoder_cosine"] == ("table", held)
    assert found["entry"][0] == "table"
    assert not any(name.startswith("decoder_cosine_") for name in found)
    assert "alembic_version" not in found


def test_comments_in_the_database_are_those_of_the_models(engine: Engine):
    query = 'SELECT schema, relation, "column", description, unit FROM atlas.columns'
    with engine.connect() as connection:
        held = {tuple(row[:3]): row for row in connection.execute(text(query))}
    tables = (*Base.metadata.sorted_tables, *Kept.metadata.sorted_tables)
    for table in tables:
        for column in table.columns:
            row = held[table.schema, table.name, column.name]
            assert str(column.comment).startswith(row.description)
            assert row.unit is None or f"[{row.unit}" in str(column.comment)


def test_the_unit_of_a_name_is_put_behind_the_comment_once():
    once = with_unit("how far (4.2)", "decoder_cosine", "cosine", low=-1, high=1)

    assert once == "how far (4.2) [cosine; -1 to 1]"
    assert with_unit(once, "decoder_cosine", "cosine") == "how far (4.2) [cosine]"
    assert with_unit("how many", "run", "n_layers", low=0) == "how many [count; 0 or more]"
    assert with_unit("what", "run", "something") == "what"
