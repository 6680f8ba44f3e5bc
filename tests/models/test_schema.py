"""Every table says what a row is, every column what it holds, and every rule has a name."""

import pandas as pd
import psycopg
import pytest
from sqlalchemy import Engine, Float, Table, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import IntegrityError, ProgrammingError

from feature_atlas.models import Base, Kept
from feature_atlas.models.columns import bounds
from feature_atlas.models.session import make_engine, make_reader_engine

TABLES = sorted(
    [*Base.metadata.tables.values(), *Kept.metadata.tables.values()], key=lambda table: table.name
)


def test_every_class_says_what_a_row_is():
    for mapper in Base.registry.mappers:
        assert mapper.class_.__doc__ not in (None, Base.__doc__), mapper.class_


def test_every_table_and_every_column_has_a_comment():
    silent = [t.name for t in TABLES if not t.comment]
    silent += [str(c) for table in TABLES for c in table.columns if not c.comment]

    assert silent == []


def test_every_constraint_and_index_has_a_name():
    nameless = [(t.name, c) for t in TABLES for c in t.constraints if not c.name]
    nameless += [(t.name, i) for t in TABLES for i in t.indexes if not i.name]

    assert nameless == []


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_measured_number_has_bounds(table: Table):
    for column in table.columns:
        kind = column.type.item_type if isinstance(column.type, ARRAY) else column.type
        if isinstance(kind, Float) and table.name != "sae_set":
            assert bounds(column) is not None, column


def test_the_database_has_the_comments_too(engine: Engine):
    query = text("""
        SELECT relname, attname, col_description(pg_class.oid, attnum)
        FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relnamespace IN ('atlas'::regnamespace, 'lists'::regnamespace)
          AND relkind IN ('r', 'p') AND attnum > 0
          AND relname <> 'alembic_version'
    """)
    with engine.connect() as connection:
        found = {(table, column): said for table, column, said in connection.execute(query)}

    assert found == {(t.name, c.name): c.comment for t in TABLES for c in t.columns}


def insert_cosine(engine: Engine, cosine: str) -> None:
    """One row past all other rules."""
    with engine.begin() as connection:
        connection.execute(text("CREATE TEMP TABLE one (LIKE atlas.selection INCLUDING ALL)"))
        connection.execute(text(f"INSERT INTO one VALUES (1, 0, 0, 1, true, {cosine})"))


@pytest.mark.parametrize("value", ["'NaN'", "'infinity'", "'-infinity'", "1.01", "-0.01"])
def test_the_database_refuses_what_is_no_share(value: str, engine: Engine):
    with pytest.raises(IntegrityError, match="ck__selection__cosine_rank"):
        insert_cosine(engine, value)


def test_the_database_takes_a_share(engine: Engine):
    insert_cosine(engine, "0.25")


@pytest.mark.parametrize("value", ["'{1, NaN}'", "'{infinity}'", "'{-1}'"])
def test_the_database_refuses_bad_numbers_in_lists(value: str, engine: Engine):
    with engine.begin() as connection:
        connection.execute(text("CREATE TEMP TABLE one (LIKE atlas.overlay INCLUDING CONSTRAINTS)"))
        with pytest.raises(IntegrityError, match="ck__overlay__weights"):
            connection.execute(
                text(
                    "INSERT INTO one VALUES (1, 0, 0, 1, 0, 0, 1, 'top', 'A', 1,"
                    f" cardinality({value}::real[]), {value}, 1)"
                )
            )


def test_the_papers_tables_are_there_as_printed(engine: Engine):
    rows = pd.read_sql("SELECT * FROM atlas.published_result", engine)

    assert rows.groupby("table_no").size().to_dict() == {1: 6, 2: 11}
    both = rows.pivot_table(index=["layer", "feature"], columns="table_no", values="delta_vsr")
    assert both.loc[(12, 23874)].tolist() == [-9.05, -10.24]  # the tables disagree: both are kept
    assert both.loc[(7, 15870)].tolist() == [-15.54, -15.54]
    on_top = rows[rows.relations == "above, on top of"]
    assert sorted(zip(on_top.layer, on_top.feature, strict=True)) == [
        (10, 5121),
        (11, 24089),
        (12, 13305),
    ]
    assert (on_top.n_samples == 846).all()


def test_a_reader_reads_and_writes_nothing(loaded_url: str):
    reader = make_reader_engine(loaded_url)
    with reader.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM atlas.feature")) == 128
        assert connection.scalar(text("SELECT count(*) FROM atlas.example")) == 96

    for statement in (
        "DELETE FROM atlas.review",
        "INSERT INTO atlas.regime VALUES (9, 'mine')",
        "CREATE TABLE atlas.mine (id int)",
        "SET LOCAL transaction_read_only = off; DELETE FROM atlas.review",
        "SELECT * FROM atlas_staging.mine",
    ):
        with reader.connect() as connection, pytest.raises(Exception) as refused:
            connection.exec_driver_sql(statement)
        assert isinstance(refused.value.__cause__, (
            psycopg.errors.InsufficientPrivilege,
            psycopg.errors.ReadOnlySqlTransaction,
        )), statement  # fmt: skip
    reader.dispose()


def test_a_reader_who_waits_too_long_is_stopped(loaded_url: str):
    reader = make_reader_engine(loaded_url, statement_timeout="50ms")
    with reader.connect() as connection, pytest.raises(Exception, match="statement timeout"):
        connection.execute(text("SELECT pg_sleep(5)"))
    reader.dispose()


def test_the_reader_may_log_in_and_brings_its_limits(loaded_url: str):
    reader = make_engine(loaded_url.replace("atlas@", "atlas_reader@"))
    with reader.connect() as connection:
        assert connection.scalar(text("SHOW default_transaction_read_only")) == "on"
        assert connection.scalar(text("SHOW statement_timeout")) == "30s"
        assert connection.scalar(text("SELECT count(*) FROM atlas.spatial")) == 8
    reader.dispose()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_common_spelling_of_an_address_is_understood(scheme: str, loaded_url: str):
    engine = make_engine(f"{scheme}://{loaded_url.partition('://')[2]}")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()


def test_an_unknown_table_is_an_error_not_an_empty_answer(loaded_engine: Engine):
    with loaded_engine.connect() as connection, pytest.raises(ProgrammingError):
        connection.execute(text("SELECT * FROM atlas.features"))
