"""Throw-away databases on the session's server."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.engine import make_url

# a crash may lose what tests wrote: no waiting for the disk
SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
            "shared_buffers": "64MB", "max_connections": "200"}  # fmt: skip


def database(server_url: str, name: str) -> str:
    """Address of another database of the same server."""
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def create_database(server_url: str, name: str, template: str = "template0") -> str:
    with psycopg.connect(server_url, autocommit=True) as connection:
        # a template can only be copied while nobody is in it, not even an idle pool of a page
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (template,)
        )
        # copies files: half the time of copying through the log
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
    return database(server_url, name)


def drop_database(server_url: str, name: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@contextmanager
def temporary_database(server_url: str, template: str = "template0") -> Iterator[str]:
    """Address of a copy of a database, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield create_database(server_url, name, template)
    drop_database(server_url, name)
