"""A load or an addition in a process of its own, to be killed.

A load tells its steps, and may kill itself at one.
"""

import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from stage_runs.starter import STARTER

from feature_atlas.etl.warehouse import addition, publish
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.models.session import make_engine

INSIDE_PUBLISH = ("_attach", "move_samples", "move_rows", "_flip")


class Death(NamedTuple):
    """How a load ended."""

    step: str
    """The step it was in."""
    exit_code: int
    """Of its process: -9 when it was killed, 0 when it had published, 1 when it failed."""
    seconds: float
    """Time from its start to its end."""


def start_load(folder: Path, url: str, *, die_at: str = "") -> tuple[BaseProcess, Connection]:
    """A load that runs; it has begun when this returns."""
    told, tells = STARTER.Pipe(duplex=False)
    process = STARTER.Process(target=_load, args=(folder, url, tells, die_at))
    process.start()
    tells.close()
    told.recv()
    return process, told


def wait_for_death(process: BaseProcess, told: Connection, begin: float) -> Death:
    """How it ended; everything that it told comes first."""
    process.join()
    step = "begin"
    try:
        while True:
            step = told.recv()
    except EOFError:
        told.close()
    assert process.exitcode is not None
    return Death(step, process.exitcode, time.perf_counter() - begin)


def exit_of_doomed_addition(folder: Path, url: str, die_at: str) -> int | None:
    """How an addition ends that kills itself where it would call the function of this name."""
    process = STARTER.Process(target=_add, args=(folder, url, die_at))
    process.start()
    process.join()
    return process.exitcode


def _add(folder: Path, url: str, die_at: str) -> None:
    setattr(addition, die_at, lambda *_, **__: _die())
    addition.add_folder(folder, make_engine(url))


def _load(folder: Path, url: str, tells: Connection, die_at: str) -> None:
    def tell(step: str, done: int, total: int) -> None:
        if die_at == f"{step} begins" or (die_at == f"{step} ends" and done == total):
            _die()
        tells.send(step)

    if die_at in INSIDE_PUBLISH:
        setattr(publish, die_at, _dying(getattr(publish, die_at)))
    tells.send("begin")
    ingest(folder, make_engine(url), tell, wait=True)
    tells.send("end")


def _dying(function: Callable[..., Any]) -> Callable[..., None]:
    def run_and_die(*arguments: Any) -> None:
        function(*arguments)
        _die()

    return run_and_die


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
