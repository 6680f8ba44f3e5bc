"""Bring a database to the schema of this code: tables by revision; views, functions and rights."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import psycopg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from feature_atlas.etl.postgres.embedded import ensure_database
from feature_atlas.etl.warehouse.schema.grants import grant_again, grant_readers
from feature_atlas.etl.warehouse.schema.own_views import (
    Made,
    Standing,
    own_views,
    put_in_place,
    refuse,
    remember,
    take_away,
)
from feature_atlas.etl.warehouse.schema.roles import make_missing_roles
from feature_atlas.etl.warehouse.schema.view_files import digest, views
from feature_atlas.models import SCHEMA
from feature_atlas.models.base import fact_tables
from feature_atlas.models.session import NO_ATLAS, make_engine

LOCK = 0x61746C6173  # "atlas": one migration at a time in a database
_alembic_is_not_thread_safe = Lock()


def open_atlas() -> Engine:
    """The atlas's database, started if it is our own, brought to the schema of this code."""
    engine = make_engine(ensure_database())
    migrate(engine)
    return engine


def find_atlas() -> str:
    """Address of the atlas's database, started if it is our own: who only reads changes nothing.

    RuntimeError: its schema is not this code's.
    """
    url = ensure_database()
    engine = make_engine(url)
    with engine.connect() as connection:
        difference = schema_difference(connection)
    engine.dispose()
    if difference is not None:
        raise RuntimeError(difference)
    return url


def migrate(engine: Engine) -> str:
    """Upgrade to the newest revision, in one transaction. Returns that revision.

    On a database that is up to date nothing is changed, and nothing waits for readers; only a role
    that the server lacks is made, as where a backup was restored. What others
    built on our views stays, with the rights that they gave: RuntimeError where that cannot be.
    """
    with configured(engine) as (connection, config):
        newest = _scripts().get_current_head()
        assert newest is not None
        difference = schema_difference(connection)
        if difference is None:
            make_missing_roles(connection, _functions(own_views(connection)))
            return newest
        if _revision(connection) not in _known():
            raise RuntimeError(difference)
        sqls, standing = views(), take_away(connection)
        with _naming_others(standing):
            command.upgrade(config, "head")
        _guard_facts(connection)
        made = put_in_place(connection, sqls, standing)
        remember(connection, made)
        connection.exec_driver_sql(
            f"COMMENT ON SCHEMA {SCHEMA} IS 'The feature atlas; views {digest(sqls)}'"
        )
        make_missing_roles(connection, _functions(made))
        grant_readers(connection, _functions(made))
        grant_again(connection, standing.grants, [thing.oid for thing in made])
        return newest


def _functions(made: Made) -> list[str]:
    return [name for name in made.values() if name.endswith(")")]


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Back to an older revision. Views return with the next `migrate`."""
    with configured(engine) as (connection, config):
        standing = take_away(connection)
        if standing.held:
            refuse("a view", "an older revision takes them all away", standing.others)
        with _naming_others(standing):
            command.downgrade(config, revision)


def check(engine: Engine) -> None:
    """Raise alembic's error if models and migrations tell different schemas."""
    with configured(engine) as (_, config):
        command.check(config)


def current_revision(engine: Engine) -> str | None:
    """The database's revision, None if it has no atlas."""
    with engine.connect() as connection:
        return _revision(connection)


def schema_difference(connection: Connection) -> str | None:
    """What keeps this program from reading the schema, and the way out; None: nothing."""
    revision, newest = _revision(connection), _scripts().get_current_head()
    if revision is None:
        return NO_ATLAS
    if revision not in _known():
        return (
            f"the database has the schema {revision}, which this program does not know: a newer "
            "feature-atlas made it. Install that version here, or use another database."
        )
    if revision == newest and _views_in_place(connection):
        return None
    said = "the views of another version" if revision == newest else f"the schema {revision}"
    return (
        f"the database has {said}, this program needs its own ({newest}): `feature-atlas migrate` "
        "brings it there and keeps what is in it."
    )


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
        config = _config()
        config.attributes["connection"] = connection
        yield connection, config


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "feature_atlas.migrations:")
    config.set_main_option("file_template", "%%(rev)s")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _known() -> set[str | None]:
    """Revisions that this program can go on from; None: there is no atlas yet."""
    return {None, *(script.revision for script in _scripts().walk_revisions())}


def _revision(connection: Connection) -> str | None:
    options = {"version_table_schema": SCHEMA}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def _views_in_place(connection: Connection) -> bool:
    query = "SELECT obj_description(to_regnamespace(:name), 'pg_namespace')"
    comment = connection.scalar(text(query), {"name": SCHEMA})
    return comment is not None and str(comment).endswith(f"views {digest(views())}")


@contextmanager
def _naming_others(standing: Standing) -> Iterator[None]:
    """A revision may want to change a column that somebody's view shows."""
    in_the_way = psycopg.errors.DependentObjectsStillExist, psycopg.errors.FeatureNotSupported
    try:
        yield
    except DBAPIError as error:
        if not isinstance(error.orig, in_the_way):
            raise
        said = f"{error.orig.diag.message_primary} ({error.orig.diag.message_detail})"
        refuse("a table", said, standing.others)


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
