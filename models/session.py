"""The address of the database, and connections to it."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry

from feature_atlas.models.secret import secret

READER = "atlas_reader"

WRITER = "atlas_writer"
"""Adds reviews, keeps lists and comments, and changes nothing else."""

READER_PATH = "atlas, public"
"""Where the reader looks for names without a schema; extensions lie in public."""


NO_ATLAS = (
    "there is no atlas in the database yet: `feature-atlas demo` builds that of the tiny world, "
    "`feature-atlas build` your own, and `feature-atlas migrate` makes an empty one."
)


def atlas_home() -> Path:
    """The folder of everything the atlas keeps: ATLAS_HOME, by default ./.atlas."""
    return Path(os.environ.get("ATLAS_HOME") or ".atlas").absolute()


def url_file(home: Path) -> Path:
    """Where the embedded server leaves its address while it runs."""
    return home / "postgres" / "url"


def given_url() -> str | None:
    """ATLAS_DATABASE_URL, if it is set; without a password it gets ATLAS_DATABASE_PASSWORD."""
    given = os.environ.get("ATLAS_DATABASE_URL")
    if given:
        _require_address(given)
    password = secret("ATLAS_DATABASE_PASSWORD") if given else None
    if not given or password is None or make_url(given).password is not None:
        return given or None
    whole = make_url(given).set(password=password).render_as_string(hide_password=False)
    return whole.replace(" ", "%20")  # which libpq does not take as they are


def shown_address(url: str) -> str:
    """The address in words, without its password."""
    address = make_url(url)
    host = address.host or address.query.get("host", "local socket")
    return f"{host}:{address.port or address.query.get('port', 5432)}/{address.database or ''}"


def _require_address(url: str) -> None:
    """Refuse what is none, without saying a word of it: a part may be of a password."""
    scheme, _, rest = url.partition("://")
    place = rest.partition("/")[2]  # a password's own / would put the rest of it there
    is_plain = not re.search(r"[#\s]|%(?![0-9A-Fa-f]{2})", rest) and "@" not in place
    try:
        make_url(url)
        is_address = re.match(r"postgres(ql)?(\+\w+)?$", scheme) is not None
    except (ArgumentError, ValueError):
        is_address = False
    if not (is_plain and is_address):
        raise RuntimeError(
            "ATLAS_DATABASE_URL is no address that can be read: expected "
            "postgresql://user@host:port/database. A password with special characters goes into "
            "ATLAS_DATABASE_PASSWORD as it is, or into the address with each of them as %XX."
        )


def database_url() -> str:
    """The address that is given, else that of the embedded server that runs in ATLAS_HOME."""
    given = given_url()
    if given is not None:
        return given
    address = url_file(atlas_home())
    if not address.is_file():
        raise RuntimeError(
            f"no database: ATLAS_DATABASE_URL is not set and no embedded server runs in "
            f"{atlas_home()}. Run `feature-atlas dashboard` or another feature-atlas command, "
            "which starts one, or set ATLAS_DATABASE_URL to a PostgreSQL 15 or newer."
        )
    return address.read_text(encoding="utf-8").strip()


def make_engine(url: str) -> Engine:
    """Connections as the owner of the atlas, for the one door that writes."""
    # libpq also says postgres://, and a driver may be named; the driver here is psycopg
    address = make_url(url.replace("postgres://", "postgresql://", 1))
    return create_engine(
        address.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        connect_args={"client_encoding": "utf8"},  # whatever PGCLIENTENCODING or the locale say
    )


def make_reader_engine(url: str, *, statement_timeout: str = "30s") -> Engine:
    """Connections that can only read the atlas, as the role atlas_reader where it exists.

    Where the server asks for no password (the embedded one), or with ATLAS_READER_PASSWORD, that
    role logs in itself and cannot become another. With the owner's address and password alone he
    logs in and steps down, which keeps mistakes out, but not everybody.
    Run what users write through `run_user_sql`.
    """
    engine = make_engine(url)
    event.listen(engine, "do_connect", _logging_in(READER, "ATLAS_READER_PASSWORD"))

    @event.listens_for(engine, "connect")
    def become_reader(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (READER,))
        if cursor.fetchone() is not None:
            cursor.execute(f"SET ROLE {READER}")
        cursor.execute("SELECT set_config('statement_timeout', %s, false)", (statement_timeout,))
        cursor.execute("SET default_transaction_read_only = on")
        cursor.execute(f"SET search_path = {READER_PATH}")
        connection.commit()
        cursor.close()

    return engine


def make_writer_engine(url: str) -> Engine:
    """Connections that write what people say, as atlas_writer; never as the owner or a reader.

    That role logs in itself where the server asks for no password, or with ATLAS_WRITER_PASSWORD;
    with the owner's address and password he steps down to it. PermissionError: none of these did.
    """
    engine = make_engine(url)
    event.listen(engine, "do_connect", _logging_in(WRITER, "ATLAS_WRITER_PASSWORD"))

    @event.listens_for(engine, "connect")
    def become_writer(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        try:
            cursor.execute(f"SET ROLE {WRITER}")
        except psycopg.Error as error:
            raise PermissionError(
                f"may not write as {WRITER} ({str(error).splitlines()[0]}): `feature-atlas "
                "migrate` makes that role; on a server with passwords set ATLAS_WRITER_PASSWORD "
                "for it and for the pages (docs/commands.md)."
            ) from None
        cursor.execute("SET statement_timeout = '30s'")
        connection.commit()
        cursor.close()

    return engine


LogIn = Callable[[Dialect, ConnectionPoolEntry, Any, dict[str, Any]], DBAPIConnection | None]

REFUSED = ("does not exist", "permitted to log in", "authentication", "password", "pg_hba.conf")
"""What a server says that will not have a role. Another error must never make its owner of it."""


def _logging_in(role: str, variable: str) -> LogIn:
    """A connection as that role; None where the address itself has to do."""

    def log_in(
        dialect: Dialect, _: ConnectionPoolEntry, arguments: Any, parameters: dict[str, Any]
    ) -> DBAPIConnection | None:
        password = secret(variable)
        if password is None and "password" in parameters:
            return None
        own = {"user": role} if password is None else {"user": role, "password": password}
        try:
            return dialect.connect(*arguments, **parameters | own)
        except psycopg.OperationalError as error:
            if any(words in str(error) for words in REFUSED):
                return None
            raise

    return log_in
