"""Prompts made ahead of the device, by processes of their own where there is much to make.

To open a picture and to prepare it takes a large model's processor about as long as the model's
answer takes the device. The same prompts come in the same order, whoever made them.
"""

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from threading import Thread
from typing import Any

from numpy import ndarray
from torch import Tensor, from_numpy
from torch.utils._pytree import tree_map
from torch.utils.data import DataLoader, Dataset

from feature_atlas.etl.inputs.prompt_maker import MadePrompts, PromptJob, PromptMaker

WORTH_WORKERS = 20.0
"""Seconds of work left from which processes are worth their start, which takes some seconds."""
MOST_WORKERS = 4
"""Together they open and prepare a picture of 640 x 480 in 6 ms, and a card reads a prompt of an 8B
model in some 20; each holds two batches in memory."""


def made_prompts(
    maker: PromptMaker, jobs: Iterator[PromptJob], n_jobs: int
) -> Iterator[MadePrompts]:
    """The batches of ``n_jobs`` jobs in their order; workers take over where much is left.

    Workers take jobs some batches before theirs are asked for. A process that is itself a worker
    of an engine may be forbidden to have any, and then makes all.
    """
    seconds, may_have = 0.0, not multiprocessing.current_process().daemon
    for n_made in range(n_jobs):
        if may_have and seconds * (n_jobs - n_made) > WORTH_WORKERS * n_made:
            yield from _made_by_workers(maker, jobs)
            return
        started = time.monotonic()
        made = maker.make(next(jobs))
        seconds += time.monotonic() - started
        yield made


def n_workers() -> int:
    """As many as there are processors beside the one that feeds the device."""
    return max(1, min(MOST_WORKERS, len(os.sched_getaffinity(0)) - 1))


def _made_by_workers(maker: PromptMaker, jobs: Iterator[PromptJob]) -> Iterator[MadePrompts]:
    loader = DataLoader(
        _Remote(maker),
        batch_size=None,
        sampler=jobs,
        num_workers=n_workers(),
        collate_fn=_as_it_is,
        worker_init_fn=_begin,
        multiprocessing_context=_clean_processes(),
    )
    with _ended_workers_explained():
        for made in loader:
            if isinstance(made, Exception):
                raise made
            yield tree_map(lambda x: from_numpy(x) if isinstance(x, ndarray) else x, made)


@contextmanager
def _ended_workers_explained() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if "exited unexpectedly" not in str(error):
            raise
        raise RuntimeError(
            "a process that prepares pictures was ended from outside, as the system does where "
            "memory runs out: free some (or lower batch_size), and build again. What is done stays."
        ) from error


class _Remote(Dataset[Any]):
    """The maker in a worker: says what went wrong in the same words as at home."""

    def __init__(self, maker: PromptMaker) -> None:
        self.maker = maker

    def __getitem__(self, job: PromptJob) -> Any:
        """The batch in NumPy's arrays, or the error.

        Tensors would come through shared memory, of which a container has 64 MB.
        """
        try:
            made = self.maker.make(job)
        except (ValueError, OSError) as error:
            return type(error)(*error.args)  # without the traceback's frames
        return tree_map(lambda x: x.numpy() if isinstance(x, Tensor) else x, made)


def _clean_processes() -> BaseContext:
    """Processes forked from one that has no threads and no card, and has imported all before."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", __name__])
    return context


def _begin(_worker: int) -> None:
    """One worker, one thread; and none that outlives the build, however that ends."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _as_it_is(made: Any) -> Any:
    return made
