"""No minute has more requests or tokens than it may, on a clock that only sleeping moves."""

from itertools import pairwise
from random import Random

import pytest

from feature_atlas.meaning.request_pace import RequestPace


class Clock:
    """Time passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def left_at(pace: RequestPace, clock: Clock, sizes: list[int]) -> list[float]:
    times = []
    for n_tokens in sizes:
        pace.wait(n_tokens)
        times.append(clock.now)
    return times


def test_no_minute_has_more_requests_than_it_may() -> None:
    clock = Clock()
    times = left_at(RequestPace(30, None, clock=clock, sleep=clock.sleep), clock, [1] * 100)

    assert times[0] == 1000
    assert [b - a for a, b in pairwise(times)] == pytest.approx([2.0] * 99)


def test_no_minute_has_more_tokens_than_it_may() -> None:
    clock, random = Clock(), Random(0)
    sizes = [random.randrange(1, 900) for _ in range(300)]
    times = left_at(RequestPace(1000, 6000, clock=clock, sleep=clock.sleep), clock, sizes)

    for start in times:
        in_minute = [n for t, n in zip(times, sizes, strict=True) if start <= t < start + 60]
        # the last of a window is still being paid for when the window ends
        assert sum(in_minute) - in_minute[-1] <= 6000 + 1e-6
        assert len(in_minute) <= 1001


def test_all_wait_as_long_as_the_endpoint_asks() -> None:
    clock = Clock()
    pace = RequestPace(clock=clock, sleep=clock.sleep)

    pace.hold(7)
    pace.hold(3)  # a shorter wish does not shorten a longer one

    assert left_at(pace, clock, [1, 1]) == [1007, 1007]


def test_without_limits_nobody_waits() -> None:
    clock = Clock()

    assert left_at(RequestPace(clock=clock, sleep=clock.sleep), clock, [10**9] * 3) == [1000] * 3
