"""What a reader may not do, by real attempts; and the one door for what users write.

Each attempt is made in earnest: logged in as atlas_reader, with its own safeguards switched off.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from feature_atlas.etl.warehouse.migrate import migrate
from feature_atlas.models import user_sql
from feature_atlas.models.session import make_engine, make_reader_engine
from feature_atlas.models.user_sql import run_user_sql

FORBIDDEN = [
    "INSERT INTO atlas.review (run_id, layer, feature, verdict, reviewer)"
    " VALUES (1, 0, 0, 'reject', 'me')",
    "INSERT INTO lists.comment (dictionary, layer, feature, said, author)"
    " VALUES ('f1', 0, 0, 'mine', 'me')",
    "DELETE FROM lists.list",
    "UPDATE lists.entry SET note = 'mine'",
    "CREATE TABLE lists.mine (id int)",
    "UPDATE atlas.run SET state = 'failed'",
    "DELETE FROM atlas.feature_record",
    "TRUNCATE atlas.example",
    "MERGE INTO atlas.run USING atlas.run AS other ON false WHEN MATCHED THEN DELETE",
    "SELECT * FROM atlas.run FOR UPDATE",
    "BEGIN; LOCK TABLE atlas.run IN ACCESS EXCLUSIVE MODE",
    "SELECT nextval('atlas.review_id_seq')",
    "CREATE TABLE atlas.mine (id int)",
    "CREATE TABLE public.mine (id int)",
    "CREATE VIEW atlas.mine AS SELECT 1",
    "CREATE FUNCTION atlas.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE SCHEMA mine",
    "CREATE EXTENSION vector",
    "DROP VIEW atlas.feature",
    "ALTER TABLE atlas.run ADD COLUMN mine int",
    "COMMENT ON TABLE atlas.run IS 'mine'",
    "DROP OWNED BY atlas",
    "COPY atlas.review FROM PROGRAM 'id'",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "COPY (SELECT 1) TO '/tmp/atlas_reader_was_here'",
    "COPY atlas.review FROM '/etc/passwd'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_read_binary_file('PG_VERSION')",
    "SELECT pg_ls_dir('/')",
    "SELECT pg_stat_file('/etc/passwd')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '/tmp/atlas_reader_was_here')",
    "SELECT lo_create(0)",
    "SELECT lo_from_bytea(0, 'mine')",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_xact_lock(1, 2)",
    "SELECT pg_terminate_backend(pg_backend_pid())",
    "SELECT pg_reload_conf()",
    "SELECT rolpassword FROM pg_authid",
    "SELECT * FROM pg_hba_file_rules",
    "SELECT * FROM atlas_staging.hidden",
    "SELECT * FROM public.hidden",
    "SET ROLE atlas",
    "SET SESSION AUTHORIZATION atlas",
    "ALTER ROLE atlas_reader SUPERUSER",
    "ALTER SYSTEM SET log_statement = 'all'",
    "SET session_replication_role = replica",
    "SET temp_file_limit = -1",
    "LOAD '/tmp/mine.so'",
    "GRANT pg_read_server_files TO atlas_reader",
]

NOT_ONE_SELECT = [
    "SELECT 1; DELETE FROM atlas.review",
    "SELECT 1; SET statement_timeout = 0; SELECT pg_sleep(5)",
    "SET statement_timeout = 0",
    "RESET ROLE",
    "COMMIT",
    "DELETE FROM atlas.review",
    "WITH gone AS (DELETE FROM atlas.review RETURNING 1) SELECT * FROM gone",
    "SELECT * INTO atlas.mine FROM atlas.run",
    "COPY atlas.run TO STDOUT",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "DO $$ BEGIN PERFORM 1; END $$",
    "EXPLAIN ANALYZE SELECT 1",
    "EXECUTE mine",
    "LISTEN mine",
    "",
]

# ts_stat runs a query that it gets as text, when its turn comes
STOLEN = "SELECT word FROM ts_stat($$SELECT to_tsvector(pg_read_file('/etc/passwd'))$$)"

THROUGH_FUNCTIONS = [
    STOLEN,
    "SELECT * FROM ts_stat('DELETE FROM atlas.review RETURNING to_tsvector(reviewer)')",
    "SELECT set_config('role', 'atlas', false)",
    "SELECT set_config('session_authorization', 'atlas', false)",
    # first back to whoever logged in
    f"SELECT set_config('role', 'none', false), ({STOLEN} LIMIT 1)",
    "SELECT set_config('transaction_read_only', 'off', false), nextval('atlas.review_id_seq')",
]

SLEEPS = [
    "SELECT pg_sleep(5)",
    "SELECT set_config('statement_timeout', '0', false), pg_sleep(5)",
    "SELECT CASE n WHEN 1 THEN set_config('statement_timeout', '0', false)"
    " ELSE pg_sleep(5)::text END FROM generate_series(1, 3) AS n",
    "SELECT * FROM ts_stat('SELECT to_tsvector(pg_sleep(5)::text)')",
    "SELECT count(*) FROM generate_series(1, 1e5) AS a, generate_series(1, 1e5) AS b",
]


@pytest.fixture(scope="module")
def url(loaded_url: str) -> Iterator[str]:
    """The loaded atlas, with tables in the loader's own schema and in public."""
    with psycopg.connect(loaded_url, autocommit=True) as owner:
        owner.execute("CREATE SCHEMA IF NOT EXISTS atlas_staging")
        owner.execute("CREATE TABLE atlas_staging.hidden (id int)")
        owner.execute("CREATE TABLE public.hidden (id int)")
        yield loaded_url
        owner.execute("DROP TABLE atlas_staging.hidden, public.hidden")


@pytest.fixture
def reader(url: str) -> Iterator[Engine]:
    engine = make_reader_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def hurried(url: str) -> Iterator[Engine]:
    engine = make_reader_engine(url, statement_timeout="150ms")
    yield engine
    engine.dispose()


def logged_in(url: str) -> psycopg.Connection:
    """A session of atlas_reader's own, without the safeguards that it can switch off."""
    address = make_url(url).set(username="atlas_reader").render_as_string(hide_password=False)
    session = psycopg.connect(address, autocommit=True)
    session.execute("SET default_transaction_read_only = off")
    session.execute("SET statement_timeout = '5s'")
    return session


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_database_refuses(statement: str, url: str):
    with logged_in(url) as session, pytest.raises(errors.InsufficientPrivilege):
        session.execute(statement)

    assert not Path("/tmp/atlas_reader_was_here").exists()


def test_temporary_tables_are_refused_where_the_atlas_was_migrated(empty_url: str):
    engine = make_engine(empty_url)
    migrate(engine)  # a copied database does not keep rights on the database itself
    engine.dispose()

    with logged_in(empty_url) as session, pytest.raises(errors.InsufficientPrivilege):
        session.execute("CREATE TEMP TABLE mine (id int)")


def test_a_session_of_the_readers_own_begins_with_limits(url: str):
    address = make_url(url).set(username="atlas_reader").render_as_string(hide_password=False)

    with psycopg.connect(address) as session:
        limits = {
            name: session.execute("SELECT current_setting(%s)", (name,)).fetchone()
            for name in (
                "default_transaction_read_only",
                "statement_timeout",
                "idle_in_transaction_session_timeout",
                "temp_file_limit",
            )
        }

    assert [value for (value,) in limits.values()] == ["on", "30s", "5min", "10GB"]


@pytest.mark.parametrize("statement", NOT_ONE_SELECT)
def test_what_is_not_one_select_is_refused(statement: str, reader: Engine):
    with pytest.raises(
        (errors.SyntaxError, errors.FeatureNotSupported, errors.InvalidCursorDefinition)
    ):
        run_user_sql(reader, statement, max_rows=10)


@pytest.mark.parametrize("statement", THROUGH_FUNCTIONS)
def test_functions_are_no_way_round(statement: str, reader: Engine):
    with pytest.raises(
        (errors.InsufficientPrivilege, errors.FeatureNotSupported, errors.ActiveSqlTransaction)
    ):
        run_user_sql(reader, statement, max_rows=10)


@pytest.mark.parametrize("statement", SLEEPS)
def test_nobody_sleeps_past_the_limit(statement: str, hurried: Engine):
    began = time.monotonic()
    with pytest.raises(errors.QueryCanceled, match="statement timeout"):
        run_user_sql(hurried, statement, max_rows=10)

    assert time.monotonic() - began < 2


def test_settings_that_a_query_changed_are_back_for_the_next(reader: Engine):
    changed = (
        "SELECT set_config('statement_timeout', '0', false), set_config('role', 'none', false)"
    )
    run_user_sql(reader, changed, max_rows=10)
    names = "SELECT current_user, current_setting('statement_timeout')"

    assert run_user_sql(reader, names, max_rows=10).rows == [("atlas_reader", "30s")]


def test_all_attempts_left_the_atlas_as_it_was(url: str, reader: Engine):
    for statement in [*NOT_ONE_SELECT, *THROUGH_FUNCTIONS]:
        with pytest.raises(psycopg.Error):
            run_user_sql(reader, statement, max_rows=10)

    with psycopg.connect(url) as owner:
        query = "SELECT (SELECT count(*) FROM atlas.feature), (SELECT count(*) FROM atlas.review)"
        assert owner.execute(query).fetchone() == (128, 0)


def test_where_no_password_is_asked_the_reader_logs_in_itself(reader: Engine):
    answer = run_user_sql(reader, "SELECT session_user, current_user", max_rows=1)

    assert answer.rows == [("atlas_reader", "atlas_reader")]


def test_with_the_owners_password_he_steps_down(url: str):
    address = make_url(url).set(password="known").render_as_string(hide_password=False)
    engine = make_reader_engine(address)
    answer = run_user_sql(engine, "SELECT session_user, current_user", max_rows=1)
    with pytest.raises(errors.InsufficientPrivilege):
        run_user_sql(engine, "SELECT pg_read_file('/etc/passwd')", max_rows=1)
    engine.dispose()

    assert answer.rows == [("atlas", "atlas_reader")]


def test_a_database_without_that_role_is_read_by_its_owner_read_only(
    url: str, reader: Engine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("feature_atlas.models.session.READER", "nobody_of_that_name")
    engine = make_reader_engine(url)
    with pytest.raises(errors.ReadOnlySqlTransaction):
        run_user_sql(engine, "SELECT nextval('atlas.review_id_seq')", max_rows=1)
    engine.dispose()


def test_values_are_values_whatever_they_look_like(reader: Engine):
    hostile = "'; DROP TABLE atlas.run; --"
    answer = run_user_sql(
        reader,
        "SELECT :words AS words, '100%' AS share, 'a:b' AS colon, 1::text AS one",
        max_rows=1,
        values={"words": hostile},
    )

    assert answer.names == ["words", "share", "colon", "one"]
    assert answer.rows == [(hostile, "100%", "a:b", "1")]


def test_a_name_without_a_value_is_an_error_of_the_database(reader: Engine):
    with pytest.raises(errors.SyntaxError):
        run_user_sql(reader, "SELECT :words", max_rows=1)


def test_a_mistake_is_pointed_at_also_behind_values_and_in_long_lines(reader: Engine):
    statement = f"SELECT :long_name, {', '.join(map(str, range(50)))},\t'漢', nothing"
    with pytest.raises(errors.UndefinedColumn) as refused:
        run_user_sql(reader, statement, max_rows=1, values={"long_name": 1})

    said, place, line, caret = str(refused.value).splitlines()
    assert said == 'column "nothing" does not exist'
    assert place == f"line 1, column {statement.index('nothing') + 1}:"
    assert line.startswith("...")
    assert line.endswith(",\t'漢', nothing")
    assert caret == re.sub(r"[^\t]", " ", line[: line.index("nothing")]) + " ^"  # 漢 is two wide
    assert refused.value.diag.sqlstate == "42703"


def test_values_that_python_does_not_have_are_texts(reader: Engine):
    answer = run_user_sql(
        reader,
        "SELECT 'infinity'::timestamptz AS a, '0044-03-15 BC'::date AS a, '24:00'::time AS c,"
        " interval '1 mon' AS d, '{\"a\": 1e400}'::jsonb AS e, row(1, 'x') AS f",
        max_rows=1,
    )

    assert [str(value)[:12] for value in answer.rows[0]] == [
        "infinity", "0044-03-15 B", "24:00:00", "P1M", '{"a": 100000', "(1,x)"
    ]  # fmt: skip
    assert answer.types == ["timestamptz", "date", "time", "interval", "jsonb", "record"]


@pytest.mark.parametrize(("n_rows", "is_cut"), [(4, False), (5, False), (6, True)])
def test_an_answer_says_whether_it_was_cut(n_rows: int, is_cut: bool, reader: Engine):
    answer = run_user_sql(reader, f"SELECT generate_series(1, {n_rows});", max_rows=5)

    assert [n for (n,) in answer.rows] == list(range(1, min(n_rows, 5) + 1))
    assert answer.is_cut is is_cut


def test_an_answer_of_gigantic_cells_ends_before_it_fills_the_memory(
    reader: Engine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(user_sql, "MOST_BYTES", 2**20)
    cells = "SELECT repeat('x', 100000), ARRAY[repeat('y', 100000)] FROM generate_series(1, {})"
    assert len(run_user_sql(reader, cells.format(5), max_rows=10).rows) == 5

    with pytest.raises(ValueError, match="the first 6 rows take more than 1 MB"):
        run_user_sql(reader, cells.format(10_000), max_rows=50_000)

    assert run_user_sql(reader, "SELECT 1", max_rows=1).rows == [(1,)]
