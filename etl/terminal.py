"""Where commands print, and how an error reads there."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

import typer
from rich.console import Console

console = Console(width=None if sys.stdout.isatty() else 160)  # a log is not 80 columns wide
complaints = Console(stderr=True)


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


class Picture(StrEnum):
    """How figures are drawn."""

    PNG = "png"
    SVG = "svg"


@contextmanager
def plain_errors() -> Iterator[None]:
    """Errors that the user can act on become one message and exit code 1; bugs keep a traceback."""
    import psycopg
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except (ValueError, RuntimeError, TypeError, OSError) as error:
        complaints.print(
            f"error: {error}", style="red", highlight=False, markup=False, soft_wrap=True
        )
        raise typer.Exit(1) from None
    except (DBAPIError, psycopg.Error) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        complaints.print(f"error: database: {reason}", style="red", markup=False)
        raise typer.Exit(1) from None
