"""How far a load is: told by the loader after every batch, shown as bars by the command line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Display

Progress = Callable[[str, int, int], None]
"""Called with the step and with how many of how many are done: bytes hashed, rows, tables."""


def silent(step: str, done: int, total: int) -> None:
    """No progress wanted."""


@contextmanager
def bars(console: Console) -> Iterator[Progress]:
    """One bar a step, each when its step begins; they stay when all is done."""
    columns = (TextColumn("{task.description:<8}"), BarColumn(), MofNCompleteColumn())
    tasks: dict[str, TaskID] = {}
    with Display(*columns, TimeElapsedColumn(), console=console) as display:

        def show(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = display.add_task(step, total=total)
            display.update(tasks[step], completed=done, total=total)

        yield show
