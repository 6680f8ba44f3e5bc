"""Bring a database to the schema of this code: tables by revision; views, functions and rights."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from graphlib import TopologicalSorter
from importlib.resources import files
from threading import Lock

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from feature_atlas.etl.postgres.embedded import ensure_database
from feature_atlas.etl.warehouse.cookbook import cookbook, saved_query_view
from feature_atlas.etl.warehouse.list_rights import grant_lists
from feature_atlas.models import SCHEMA
from feature_atlas.models.base import fact_tables
from feature_atlas.models.session import READER, WRITER, make_engine

LOCK = 0x61746C6173  # "atlas": one migration at a time in a database
_alembic_is_not_thread_safe = Lock()


def open_atlas() -> Engine:
    """The atlas's database, started if it is our own, with the schema of this code."""
    engine = make_engine(ensure_database())
    migrate(engine)
    return engine


def migrate(engine: Engine) -> str:
    """Upgrade to the newest revision, in one transaction. Returns that revision.

    On a database that is up to date nothing is changed, and nothing waits for readers.
    """
    with configured(engine) as (connection, config):
        newest = ScriptDirectory.from_config(config).get_current_head()
        assert newest is not None
        if _revision(connection) == newest and _views_in_place(connection):
            return newest
        _drop_views(connection)
        command.upgrade(config, "head")
        _guard_facts(connection)
        _create_views(connection)
        return newest


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Back to an older revision. Views return with the next `migrate`."""
    with configured(engine) as (connection, config):
        _drop_views(connection)
        command.downgrade(config, revision)


def check(engine: Engine) -> None:
    """Raise alembic's error if models and migrations tell different schemas."""
    with configured(engine) as (_, config):
        command.check(config)


def current_revision(engine: Engine) -> str | None:
    """The database's revision, None if it has no atlas."""
    with engine.connect() as connection:
        return _revision(connection)


def views() -> dict[str, str]:
    """SQL of every view and function by file, in an order in which they can be made."""
    folder = files("feature_atlas.migrations") / "views"
    found = {
        entry.name.removesuffix(".sql"): entry.read_text(encoding="utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    }
    found["saved_query"] = saved_query_view(cookbook())
    uses = {
        name: set(re.findall(r"\batlas\.(\w+)", found[name])) - {name} for name in sorted(found)
    }
    order = TopologicalSorter({name: sorted(uses[name] & found.keys()) for name in uses})
    return {name: found[name] for name in order.static_order()}


@contextmanager
def configured(engine: Engine) -> Iterator[tuple[Connection, Config]]:
    """A transaction that holds the migrations' lock, and Alembic's settings for it."""
    with _alembic_is_not_thread_safe, engine.begin() as connection:
        connection.execute(text("SELECT set_config('lock_timeout', '10s', true)"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        # a user called atlas would find the schema atlas without being told its name
        connection.execute(text("SELECT set_config('search_path', 'public', true)"))
        # only if missing: even IF NOT EXISTS asks for the right to create schemas
        if connection.scalar(text("SELECT to_regnamespace(:name)"), {"name": SCHEMA}) is None:
            connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
        config = Config()
        config.set_main_option("script_location", "feature_atlas.migrations:")
        config.set_main_option("file_template", "%%(rev)s")
        config.attributes["connection"] = connection
        yield connection, config


def _revision(connection: Connection) -> str | None:
    options = {"version_table_schema": SCHEMA}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def _digest() -> str:
    return hashlib.sha256("\0".join(views().values()).encode()).hexdigest()[:16]


def _views_in_place(connection: Connection) -> bool:
    query = "SELECT obj_description(to_regnamespace(:name), 'pg_namespace')"
    comment = connection.scalar(text(query), {"name": SCHEMA})
    return comment is not None and str(comment).endswith(f"views {_digest()}")


def _drop_views(connection: Connection) -> None:
    query = "SELECT viewname FROM pg_views WHERE schemaname = :name"
    for name in connection.scalars(text(query), {"name": SCHEMA}).all():
        connection.exec_driver_sql(f'DROP VIEW IF EXISTS {SCHEMA}."{name}" CASCADE')
    found = _functions(connection)
    if found:  # in one statement: they may call one another
        connection.exec_driver_sql(f"DROP FUNCTION {', '.join(found)}")


def _functions(connection: Connection) -> list[str]:
    """Functions of the view files, with their arguments; those of revisions are part of tables."""
    names = re.findall(rf"CREATE FUNCTION {SCHEMA}\.(\w+)", "\n".join(views().values()))
    query = (
        "SELECT oid::regprocedure::text FROM pg_proc"
        " WHERE pronamespace = to_regnamespace(:schema) AND proname = ANY (:names)"
    )
    return list(connection.scalars(text(query), {"schema": SCHEMA, "names": names}))


def _create_views(connection: Connection) -> None:
    for sql in views().values():
        connection.exec_driver_sql(sql, execution_options={"no_parameters": True})
    connection.exec_driver_sql(
        f"COMMENT ON SCHEMA {SCHEMA} IS 'The feature atlas; views {_digest()}'"
    )
    _grant(connection)


def _guard_facts(connection: Connection) -> None:
    """No row that was measured changes; a new table of facts needs no revision for that."""
    known = text("SELECT to_regclass(:name)")
    for table in fact_tables():
        if connection.scalar(known, {"name": table.fullname}) is None:
            raise RuntimeError(
                f"the model of {table.fullname} has no revision: write one (CONTRIBUTING, a change "
                "of the schema), or take the model out of models/__init__.py."
            )
        connection.exec_driver_sql(
            f"CREATE OR REPLACE TRIGGER guard_fact BEFORE UPDATE ON {table.fullname} "
            f"FOR EACH ROW EXECUTE FUNCTION {SCHEMA}.guard_fact()"
        )


def _grant(connection: Connection) -> None:
    """What reader and writer may do; a function is everybody's until that is taken back."""
    functions = ", ".join(_functions(connection))
    if functions:
        connection.exec_driver_sql(f"REVOKE EXECUTE ON FUNCTION {functions} FROM PUBLIC")
    reader = connection.scalar(text("SELECT to_regrole(:name)"), {"name": READER})
    if reader is not None:
        connection.exec_driver_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO {READER}")
        if functions:
            connection.exec_driver_sql(f"GRANT EXECUTE ON FUNCTION {functions} TO {READER}")
    if connection.scalar(text("SELECT to_regrole(:name)"), {"name": WRITER}) is not None:
        connection.exec_driver_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO {WRITER}")
    grant_lists(connection)
