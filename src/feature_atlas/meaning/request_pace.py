"""How fast requests may leave: so many, and so many tokens, per minute, for all threads together.

Requests are spread evenly instead of let out in bursts: each takes its share of a minute, of
requests or of tokens, whichever is longer. So neither limit is ever passed.
"""

import time
from collections.abc import Callable
from threading import Lock


class RequestPace:
    """Waits until the next request may leave."""

    def __init__(
        self,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._per_request = 60 / requests_per_minute if requests_per_minute else 0.0
        self._per_token = 60 / tokens_per_minute if tokens_per_minute else 0.0
        self._clock, self._sleep = clock, sleep
        self._free_at = self._held_until = -float("inf")
        self._lock = Lock()

    def wait(self, n_tokens: int) -> None:
        """Take the next place in the queue for a request of so many tokens, and wait for it."""
        with self._lock:
            starts_at = max(self._free_at, self._clock())
            self._free_at = starts_at + max(self._per_request, self._per_token * n_tokens)
        while True:
            left = max(starts_at, self._held_until) - self._clock()
            if left <= 0:
                return
            self._sleep(left)

    def hold(self, seconds: float) -> None:
        """Nothing leaves for so long: the endpoint asked for it."""
        with self._lock:
            self._held_until = max(self._held_until, self._clock() + seconds)
