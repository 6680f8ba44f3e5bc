"""What a process does about a stage that is not done and that it cannot run now.

It waits for whoever has the stage; or, where several build a run together, goes on with stages that
do not need it (`build_together`); or takes it for an error, where nothing is to be computed.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from feature_atlas.etl.terminal import console

POLL = 0.5
"""Seconds between two looks at what others have done."""

Stages = Callable[[Callable[..., None]], None]
"""Calls what it is given with every stage of a run, in order: its function and arguments."""


class NotDone(RuntimeError):
    """A stage that is not done, and is not run now."""


class Patience:
    """Waits."""

    def __init__(self) -> None:
        self.said: set[str] = set()

    def ask(self, stage: str, reads: Sequence[str]) -> None:
        """Before a stage is run that reads others; an error where it shall not be."""

    def wait(self, stage: str, owner: str | None) -> None:
        """Another process has the stage, and has no shard left to give."""
        self.say(f"waiting for stage {stage}, which {owner or 'nobody'} has")
        time.sleep(POLL)

    def say(self, text: str) -> None:
        """Once."""
        if text not in self.said:
            console.print(text)
            self.said.add(text)


class Nothing(Patience):
    """Runs nothing: every stage must be done."""

    def ask(self, stage: str, reads: Sequence[str]) -> None:
        """It is not."""
        raise NotDone(f"stage {stage} has not finished: build the run first.")


class OneLook(Patience):
    """Passes over what others have, and what needs that."""

    def __init__(self) -> None:
        super().__init__()
        self.pending: dict[str, NotDone] = {}
        self.is_busy = False

    def ask(self, stage: str, reads: Sequence[str]) -> None:
        """What it reads may be of an older run until it is found done."""
        late = [read for read in reads if read in self.pending]
        if late:
            raise NotDone(f"stage {stage} needs {', '.join(late)}")

    def wait(self, stage: str, owner: str | None) -> None:
        """Not for this one."""
        self.is_busy = True
        raise NotDone(f"stage {stage}, which {owner or 'nobody'} has")

    def stage(self, run_stage: Callable[..., Any], *of: Any) -> None:
        """Run a stage, or remember that it is not done."""
        try:
            run_stage(*of)
        except NotDone as late:
            name = "-".join([run_stage.__name__.removeprefix("run_"), *map(str, of[1:])])
            self.pending[name] = late


_patience: ContextVar[Patience] = ContextVar("_patience")


def patience() -> Patience:
    """That of this process now."""
    return _patience.get(None) or Patience()


@contextmanager
def with_patience(other: Patience) -> Iterator[None]:
    """In the block."""
    token = _patience.set(other)
    try:
        yield
    finally:
        _patience.reset(token)


def build_together(stages: Stages) -> None:
    """Run every stage beside other processes: each does what it can until all are done."""
    speaker = Patience()
    while True:
        look = OneLook()
        with with_patience(look):
            stages(look.stage)
        if not look.pending:
            return
        first = next(iter(look.pending.values()))
        if not look.is_busy:  # nobody else will do it
            raise first
        speaker.say(f"waiting for {first}")
        time.sleep(POLL)
