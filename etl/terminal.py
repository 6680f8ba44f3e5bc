"""Where commands print, and how an error reads there."""

import io
import os
import re
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, NoReturn, TextIO

import typer
from rich.console import Console
from typer.core import TyperGroup

NOT_A_TERMINAL = 160
"""Columns of a log or a pipe."""


class Terminal(Console):
    """Ends when nobody reads on, as other tools do."""

    def on_broken_pipe(self) -> None:
        """Whatever was printed went into `head`, which has seen enough."""
        end_by_broken_pipe()


def console_on(stream: TextIO) -> Terminal:
    """A console that prints to a stream, as wide as it is."""
    return Terminal(file=stream, width=None if stream.isatty() else NOT_A_TERMINAL)


def _in_utf8(argument: str) -> str:
    if not _ESCAPED.search(argument):
        return argument
    return os.fsencode(argument).decode(errors="surrogateescape")


def end_by_broken_pipe() -> NoReturn:
    """Die of the signal that other tools die of there: no words, and 141 for the shell."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
    raise SystemExit(141)


_ESCAPED = re.compile("[\udc80-\udcff]")
"""Bytes of an argument that are no characters of the locale."""

console = Terminal(width=None if sys.stdout.isatty() else NOT_A_TERMINAL)
complaints = Console(stderr=True)


class InUtf8(TyperGroup):
    """Commands whose words come and go in UTF-8, whatever the locale says."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """What the locale could not read is read now."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding="utf-8", errors="backslashreplace")
        return super().parse_args(ctx, [_in_utf8(arg) for arg in args])


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
        sys.stdout.flush()
    except BrokenPipeError as error:
        if _is_read(sys.stdout):  # it was another pipe
            _end_with(f"error: {error}")
        end_by_broken_pipe()
    except (ValueError, RuntimeError, TypeError, OSError) as error:
        _end_with(f"error: {error}")
    except ImportError as error:
        if "socksio" not in str(error):
            raise
        _end_with(
            "error: a SOCKS proxy is set (ALL_PROXY) and the package for it is missing: "
            "`pip install socksio`, or unset ALL_PROXY."
        )
    except (DBAPIError, psycopg.Error) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        _end_with(f"error: database: {reason}")


def _end_with(complaint: str) -> NoReturn:
    complaints.print(complaint, style="red", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(1) from None


def _is_read(stream: TextIO) -> bool:
    """Whether somebody is at the other end."""
    watch = select.poll()
    watch.register(stream, 0)
    return not any(event & select.POLLERR for _, event in watch.poll(0))
