"""Interleaved timing: every contender runs once a round, so that noise hits all alike."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence


def each_round(
    contenders: Mapping[str, Callable[[], object]], rounds: int = 5
) -> dict[str, list[float]]:
    """Seconds of each contender in every round, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            started = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def medians(contenders: Mapping[str, Callable[[], object]], rounds: int = 5) -> dict[str, float]:
    """Median seconds of each contender over the rounds, after one round that does not count."""
    seconds = each_round(contenders, rounds)
    return {name: statistics.median(times) for name, times in seconds.items()}


def print_paired_ratios(title: str, seconds: Mapping[str, Sequence[float]], floor: str) -> None:
    """Median seconds, and the median of the ratios to the floor within the same round."""
    print(f"\n{title} (floor: {floor})")
    for name, times in seconds.items():
        ratio = statistics.median(t / f for t, f in zip(times, seconds[floor], strict=True))
        print(f"  {name:<42} {statistics.median(times):9.4f} s {ratio:9.3f} x")


def print_ratios(title: str, seconds: Mapping[str, float], floor: str) -> None:
    """Seconds and the ratio to the floor, one line a contender."""
    print(f"\n{title} (floor: {floor})")
    for name, value in seconds.items():
        print(f"  {name:<42} {value:9.4f} s {value / seconds[floor]:9.2f} x")
