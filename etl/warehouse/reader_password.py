"""A password for atlas_reader, so that readers come in by themselves and cannot become the owner.

A server that asks for passwords knows only its owner's at first; who steps down from the owner to
read can step up again. With a password of his own the reader never was anybody else.
"""

from psycopg import sql
from sqlalchemy import Engine

from feature_atlas.models.session import READER

SHORTEST = 12  # characters


def set_reader_password(engine: Engine, password: str) -> None:
    """Let atlas_reader log in with this password; the owner of the role must ask."""
    if len(password) < SHORTEST:
        raise ValueError(
            f"ATLAS_READER_PASSWORD has {len(password)} characters, expected {SHORTEST} or more: "
            "whoever has it can read the whole atlas."
        )
    statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(
        sql.Identifier(READER), sql.Literal(password)
    )
    with engine.begin() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute(statement)
