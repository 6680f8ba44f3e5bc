"""A long stage in shards: pieces of fixed content, the result of each in a file of its own.

    <run>/<stage>.shards/<function>/work.json     the stage's key, the function, the shards
    <run>/<stage>.shards/<function>/7.pt          result of the eighth shard, whole or not there
    <run>/<stage>.shards/<function>/to-5.pt       of the first five together, where they are folded

A shard is a plain value (numbers, words, lists of them) that says what to compute; the function
takes the run folder and the shard, and nothing else decides its result. So it makes no difference
which process computes it, nor how many there are; and results are taken in the shards' order. The
process that leads the stage works on the next shard that nobody has, and so do all that wait for it
(`help_with`); or somebody else is asked (`sent_to`). One that is killed loses its shard.
"""

import importlib
import json
import logging
import pickle
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from feature_atlas.etl.run_folder.claims import claimed
from feature_atlas.etl.run_folder.patience import POLL
from feature_atlas.etl.run_folder.shard_files import read_result, write_result
from feature_atlas.etl.run_folder.whole_files import write_json

Shard = TypeVar("Shard")
Result = TypeVar("Result")
Item = TypeVar("Item")
Compute = Callable[[Path, Shard], Result]

log = logging.getLogger(__name__)

Wait = Callable[[int], None]
Send = Callable[["Work", list[int]], Wait]
"""Has shards of these numbers computed elsewhere; what it returns waits for one of them."""

_send: ContextVar[Send | None] = ContextVar("_send", default=None)


@contextmanager
def sent_to(elsewhere: Send) -> Iterator[None]:
    """Shards of the stages that this process leads are computed elsewhere."""
    token = _send.set(elsewhere)
    try:
        yield
    finally:
        _send.reset(token)


def batched(items: Sequence[Item], n: int) -> list[list[Item]]:
    """The items in order, ``n`` to a shard."""
    return [list(items[first : first + n]) for first in range(0, len(items), n)]


class Work:
    """Shards in a folder; who opens it for others has the function at hand."""

    def __init__(self, folder: Path, compute: Callable[[Path, Any], Any] | None = None) -> None:
        self.folder = folder
        self._compute = compute

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Key of the stage, name of the function, and the shards."""
        facts: dict[str, Any] = json.loads((self.folder / "work.json").read_text(encoding="utf-8"))
        return facts

    @property
    def n_folded(self) -> int:
        """How many of the first results are in one file, theirs deleted."""
        return max(
            (int(f.stem.removeprefix("to-")) for f in self.folder.glob("to-*.pt")), default=0
        )

    def is_done(self, number: int) -> bool:
        """Whether a shard need not be computed."""
        return self._file(number).exists() or number < self.n_folded

    def compute(self, number: int) -> None:
        """Compute a shard and keep its result; whoever does it gets the same."""
        function = self._compute or _function(self.facts["function"])
        result = function(self.folder.parents[1], self.facts["shards"][number])
        if self._is_current():
            write_result(self._file(number), result)

    def _is_current(self) -> bool:
        """Whether the stage was neither finished nor begun otherwise meanwhile."""
        file = self.folder / "work.json"
        return file.is_file() and json.loads(file.read_text(encoding="utf-8")) == self.facts

    def compute_next(self, first: int = 0) -> bool:
        """Compute the next shard that nobody has; False: there is none."""
        for number in range(first, len(self.facts["shards"])):
            if not self.is_done(number):
                with claimed(self._file(number)) as claim:
                    if claim is not None and not self.is_done(number):
                        self.compute(number)
                        return True
        return False

    def results(self, first: int = 0) -> Iterator[Any]:
        """In the shards' order; those that are not there are computed."""
        numbers = range(first, len(self.facts["shards"]))
        send, missing = _send.get(), [n for n in numbers if not self.is_done(n)]
        wait = self._here if send is None or not missing else send(self, missing)
        for number in numbers:
            yield self._result(number, wait)

    def folded(self, fold: Callable[[Any, Any], Any]) -> Any:
        """What folding the results from the first to the last gives; few of them are on disk."""
        n = self.n_folded
        state = read_result(self._fold_file(n)) if n else None
        for number, result in enumerate(self.results(n), start=n):
            if number:
                state = fold(state, result)
                write_result(self._fold_file(number + 1), state)
                self._file(number).unlink()
                self._fold_file(number).unlink()
            else:
                state = result
                self._file(0).replace(self._fold_file(1))
        return state

    def _result(self, number: int, wait: Wait) -> Any:
        wait(number)
        try:
            return read_result(self._file(number))
        except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
            log.warning("%s cannot be read (%s): computed again", self._file(number), error)
            self._file(number).unlink(missing_ok=True)
            self._here(number)
            return read_result(self._file(number))

    def _here(self, number: int) -> None:
        """Compute shards until this one is there, be it by others."""
        while not self._file(number).exists():
            if not self.compute_next(number):
                time.sleep(POLL)

    def _file(self, number: int) -> Path:
        return self.folder / f"{number}.pt"

    def _fold_file(self, number: int) -> Path:
        return self.folder / f"to-{number}.pt"


def shards_folder(run: Path, stage: str) -> Path:
    """Scratch of a stage: beside its folder, never in the manifest."""
    return run / f"{stage}.shards"


def open_work(
    run: Path,
    stage: str,
    key: str,
    compute: Compute[Shard, Result],
    shards: Sequence[Shard],
    part: str = "",
) -> Work:
    """The work of a stage, for all processes to see; results of another key are deleted.

    ``part`` tells apart what one function does in a stage, one after another.
    """
    name = f"{compute.__module__}:{compute.__qualname__}"
    facts = {"key": key, "function": name, "shards": shards}
    work = Work(shards_folder(run, stage) / (compute.__name__.strip("_") + part), compute)
    try:
        known = work.facts
    except (FileNotFoundError, ValueError):
        known = {}
    if known != json.loads(json.dumps(facts)):
        shutil.rmtree(work.folder, ignore_errors=True)
        work.folder.mkdir(parents=True)
        write_json(work.folder / "work.json", facts)
    return Work(work.folder, compute)


def help_with(run: Path, stage: str, key: str) -> bool:
    """Compute one shard of a stage that another process leads; False: none is free."""
    for file in sorted(shards_folder(run, stage).glob("*/work.json")):
        work = Work(file.parent)
        try:
            if work.facts["key"] == key and work.compute_next():
                return True
        except FileNotFoundError:
            if file.exists():  # else the stage was finished meanwhile
                raise
    return False


def _function(name: str) -> Callable[[Path, Any], Any]:
    """The function of this name: one of this package's."""
    module, _, function = name.partition(":")
    if not module.startswith("feature_atlas."):
        raise ValueError(f"{name} computes no shards: expected a function of feature_atlas.")
    found: Callable[[Path, Any], Any] = getattr(importlib.import_module(module), function)
    return found
