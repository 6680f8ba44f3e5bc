"""Work for one model: done one after the other in a thread of its own, few wait, none for ever."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from feature_atlas.etl.own_prompt.refused import RefusedError

T = TypeVar("T")


class OneAtATime:
    """Belongs to one event loop; all but the work itself happens there."""

    def __init__(self, most_waiting: int, seconds: float) -> None:
        self.most_waiting, self.seconds = most_waiting, seconds
        self.worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self.n_inside = 0
        self.overdue: Future[Any] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether something is being done or waits."""
        return self.n_inside > 0 or self._is_stuck

    @property
    def _is_stuck(self) -> bool:
        """Nothing ends work that took too long: the next can only begin when it is over."""
        return self.overdue is not None and not self.overdue.done()

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue, from a request's first byte to its answer."""
        if self.n_inside > self.most_waiting or self._is_stuck:
            raise RefusedError(
                503, "the model is busy with other prompts: ask again in some seconds."
            )
        self.n_inside += 1
        try:
            yield
        finally:
            self.n_inside -= 1

    async def run(self, work: Callable[[], T]) -> T:
        """What the work returns, or raises."""
        doing = self.worker.submit(work)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(doing), self.seconds)
        except TimeoutError:
            if not doing.cancel():
                self.overdue = doing
            raise RefusedError(
                504,
                f"the model was not through with the prompt in {self.seconds:g} s: ask again "
                "later, or with fewer layers.",
            ) from None
