"""What the database said when a load failed, put as what came, why, and what to do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import errors

UNSEEN = "Readers see what they saw before, nothing of this run; the next load cleans up."


@contextmanager
def plain_database_errors(slug: str) -> Iterator[None]:
    """Turn the database's errors during a load into ones that the user can act on."""
    try:
        yield
    except psycopg.Error as error:
        raise RuntimeError(f"{slug} was not loaded: {_explained(error)} {UNSEEN}") from error


def _explained(error: psycopg.Error) -> str:
    said = str(error).strip().partition("\n")[0]
    match error:
        case errors.DiskFull():
            return (
                f"the disk of the database is full ({said}). Make room on it, for example with "
                "`feature-atlas runs drop` of an old run, and run the same command again."
            )
        case errors.InsufficientPrivilege() | errors.ReadOnlySqlTransaction():
            return (
                f"the database refuses to be written ({said}). Connect as the owner of the "
                "schema atlas, to the primary server, and run the same command again."
            )
        case errors.LockNotAvailable():
            return (
                f"another session held a table for too long ({said}). Run the same command again "
                "when its transaction has ended."
            )
        case errors.QueryCanceled():
            return f"the database ended a statement ({said}). Run the same command again."
        case _ if error.sqlstate is None or error.sqlstate.startswith(("08", "57P")):
            return (
                f"the connection to the database was lost ({said}). If the server stopped, its "
                "log says why; a full disk is one reason. Run the same command again."
            )
        case _:
            return f"the database says: {said} ({error.sqlstate})."


@contextmanager
def row_in_errors(path: Path) -> Iterator[None]:
    """A value that verification let pass and the database refuses: say where it stands."""
    try:
        yield
    except (errors.IntegrityError, errors.DataError) as error:
        line = re.search(r"line (\d+)", error.diag.context or "")
        place = f"{path}, row {int(line[1]) - 1}" if line else str(path)
        raise ValueError(
            f"{place}: the database refuses it: {error.diag.message_primary}. {UNSEEN} Correct "
            "the stage that wrote it and build the run again."
        ) from None
