"""A server that somebody else runs, given as ATLAS_DATABASE_URL: is it there, what can it do?"""

import psycopg

from feature_atlas.etl.postgres.binaries import OLDEST
from feature_atlas.models.session import shown_address


def check_server(url: str) -> None:
    """Refuse a server that is not there or too old, saying what to do."""
    where = shown_address(url)
    try:
        with psycopg.connect(_for_libpq(url), connect_timeout=10) as connection:
            version = connection.info.server_version // 10_000
    except psycopg.Error as error:
        raise RuntimeError(
            f"cannot reach the database at {where}: {str(error).strip()}. ATLAS_DATABASE_URL must "
            f"name a running PostgreSQL {OLDEST} or newer, as postgresql://user:password@host:port/"
            "database. Correct it, start that server, or unset it to use the embedded one."
        ) from None
    if version < OLDEST:
        raise RuntimeError(
            f"the database at {where} is PostgreSQL {version}, expected {OLDEST} or newer. "
            "Upgrade it, or unset ATLAS_DATABASE_URL to use the embedded server."
        )


def capabilities(url: str) -> dict[str, str]:
    """Extensions that the server could load, with versions: `vector` for search by meaning."""
    query = "SELECT name, default_version FROM pg_available_extensions"
    with psycopg.connect(_for_libpq(url), connect_timeout=10) as connection:
        return dict(connection.execute(query).fetchall())


def _for_libpq(url: str) -> str:
    """SQLAlchemy may name a driver in the scheme; libpq does not know it."""
    scheme, _, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}://{rest}"
