"""Claims: what only one process may do at a time, settled by files on a disk that all of them see.

    <what>.claim-0, <what>.claim-1, ...     one of them has the highest number: its process has it

A claim is a file that only one process can create (O_EXCL, on NFS too) and that its process touches
again and again. It is dead when its process is gone from this machine, or when nobody touched it
for LEASE seconds as counted here: no two machines' clocks are compared. Whoever creates the next
number then has what the dead one had. Nothing is renamed or written over, so that of several who
find a claim dead only one takes it.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple
from uuid import uuid4

LEASE = 180.0
"""Seconds; longer than a shared disk may show an old time of a file (NFS: 60)."""
BEAT = 15.0
"""Seconds between two touches."""
PAUSE = 0.2
"""Seconds between two tries to get what is free in a moment."""


class Claim(NamedTuple):
    """What this process has claimed."""

    what: Path
    """The path that the claim's name begins with; nothing need lie there."""
    number: int
    """How many died before."""

    @property
    def file(self) -> Path:
        """Where it lies."""
        return _file(self.what, self.number)

    @property
    def is_lost(self) -> bool:
        """Whether another process took this one for dead: it slept longer than `LEASE`."""
        return _file(self.what, self.number + 1).exists()


@contextmanager
def claimed(what: Path) -> Iterator[Claim | None]:
    """A claim for the time of the block; None: another process has it, and it lives."""
    claim = _take(what)
    if claim is None:
        yield None
        return
    over = Event()
    beat = Thread(target=_beat, args=(claim.file, over), daemon=True)
    beat.start()
    try:
        yield claim
    finally:
        over.set()
        beat.join()
        _leave(claim)


@contextmanager
def awaited(what: Path) -> Iterator[Claim]:
    """A claim that others have for a moment only."""
    while True:
        with claimed(what) as claim:
            if claim is not None:
                yield claim
                return
        time.sleep(PAUSE)


def owner_of(what: Path) -> str | None:
    """Who has it, for people; None: nobody."""
    number = _highest(what)
    if number is None:
        return None
    host, process, _ = _read(_file(what, number))
    return f"process {process} on {host}"


def _take(what: Path) -> Claim | None:
    highest = _highest(what)
    if highest is not None and not _is_dead(_file(what, highest)):
        return None
    claim = Claim(what, 0 if highest is None else highest + 1)
    try:
        opened = os.open(claim.file, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return None  # another one was faster
    with os.fdopen(opened, "w", encoding="utf-8") as stream:
        stream.write("\n".join(_me()))
    return claim


def _leave(claim: Claim) -> None:
    """The dead ones first: none of them may be the highest for a moment."""
    if not claim.is_lost:
        for number in range(claim.number + 1):
            _file(claim.what, number).unlink(missing_ok=True)


def _beat(file: Path, over: Event) -> None:
    while not over.wait(BEAT):
        with suppress(FileNotFoundError):
            os.utime(file)


def _highest(what: Path) -> int | None:
    numbers = [int(f.name.rpartition("-")[2]) for f in what.parent.glob(f"{what.name}.claim-*")]
    return max(numbers, default=None)


def _file(what: Path, number: int) -> Path:
    return what.with_name(f"{what.name}.claim-{number}")


_seen: dict[Path, tuple[int, float]] = {}
"""When a claim was last touched, and when that was first seen from here."""


def _is_dead(file: Path) -> bool:
    try:
        touched = file.stat().st_mtime_ns
    except FileNotFoundError:
        return False  # just left: asked again later
    if _is_gone(*_read(file)):
        return True
    now = time.monotonic()
    before, since = _seen.get(file, (0, now))
    _seen[file] = (touched, since if touched == before else now)
    return touched == before and now - since > LEASE


def _is_gone(host: str, process: str, name: str) -> bool:
    """Whether a process of this machine is no more; one with my number and another name is not."""
    if host != _me()[0] or not process.isdecimal():
        return False
    if process == _me()[1]:
        return name != _me()[2]
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def _read(file: Path) -> tuple[str, str, str]:
    """Machine, process and its random name; nothing known while it is being written."""
    try:
        host, process, name = file.read_text(encoding="utf-8").split("\n")
    except (FileNotFoundError, ValueError):
        return "?", "?", "?"
    return host, process, name


_name = {os.getpid(): uuid4().hex}


def _me() -> tuple[str, str, str]:
    """This process; a forked child is another one."""
    process = os.getpid()
    return socket.gethostname(), str(process), _name.setdefault(process, uuid4().hex)
