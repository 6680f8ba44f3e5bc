"""Pieces of work for some lanes at once: each takes the next piece when it is done with one.

Part of the loader (`load.py`): its lanes are connections, for each of which the server works in a
process of its own.
"""

import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from queue import SimpleQueue
from typing import TypeVar

Lane = TypeVar("Lane")
Piece = TypeVar("Piece")
Work = Callable[[Lane, Piece], Generator[int, None, None]]
"""Does a piece on a lane; yields how much of it is done, part by part."""


def side_by_side(
    lanes: Sequence[Lane],
    work: Work[Lane, Piece],
    pieces: Sequence[Piece],
    tell: Callable[[Piece, int], None],
    stop: Callable[[Lane], None] = lambda _: None,
) -> None:
    """Do every piece. What is done is told in the caller's own thread.

    The first error, of a piece or of `tell`, is raised when the other lanes have ended too: they
    do after the part that they are at, or when `stop` interrupts it.
    """
    waiting, is_over = iter(pieces), threading.Event()
    said: SimpleQueue[tuple[Piece, int] | Future[None]] = SimpleQueue()

    def take(lane: Lane) -> None:
        for piece in waiting:
            with closing(work(lane, piece)) as parts:
                for part in parts:
                    if is_over.is_set():
                        return
                    said.put((piece, part))

    with ThreadPoolExecutor(len(lanes)) as threads:
        busy = {threads.submit(take, lane): lane for lane in lanes}
        for thread in list(busy):
            thread.add_done_callback(said.put)
        try:
            while busy:
                word = said.get()
                if isinstance(word, Future):
                    del busy[word]
                    word.result()
                else:
                    tell(*word)
        except BaseException:
            is_over.set()
            for lane in busy.values():
                stop(lane)
            raise
