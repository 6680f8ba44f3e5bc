"""The catalogue describes itself: no view, table, column or function without a comment."""

import pytest
from sqlalchemy import Engine, text

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
        ("adapted.cosine", "decoder cosine in the text regime; 1: kept, 0: a new direction (4.2)"),
        ("top_example.question", "question, or statement to judge (VSR)"),
        ("spatial.f1", "F1 of its best description on held-out samples; 1: perfect (B)"),
        (
            "head_ranking.place",
            "place among the heads of this run and method by mean_score; 1: first",
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
