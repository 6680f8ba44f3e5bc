"""Passwords for atlas_reader and atlas_writer, so that they come in by themselves.

A server that asks for passwords knows only its owner's at first; who steps down from the owner to
read can step up again. With a password of his own the reader never was anybody else.
"""

from psycopg import sql
from sqlalchemy import Engine

from feature_atlas.models.secret import secret
from feature_atlas.models.session import READER, WRITER

SHORTEST = 12  # characters

VARIABLES = {"ATLAS_READER_PASSWORD": READER, "ATLAS_WRITER_PASSWORD": WRITER}


def set_passwords(engine: Engine) -> dict[str, str]:
    """Give the roles the passwords of these variables; which ones were set, with their roles."""
    found = {name: password for name in VARIABLES if (password := secret(name))}
    for name, password in found.items():
        set_password(engine, name, password)
    return {name: VARIABLES[name] for name in found}


def set_password(engine: Engine, variable: str, password: str) -> None:
    """Let a variable's role log in with this password; the owner of the role must ask."""
    if len(password) < SHORTEST:
        raise ValueError(
            f"{variable} has {len(password)} characters, expected {SHORTEST} or more: whoever has "
            "it can read the whole atlas."
        )
    statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(
        sql.Identifier(VARIABLES[variable]), sql.Literal(password)
    )
    with engine.begin() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute(statement)
