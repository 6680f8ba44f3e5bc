"""What was used last, as much of it as fits into memory."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Newest(Generic[Key, Value]):
    """The newest is always kept; the oldest go."""

    def __init__(self, most_bytes: float, n_bytes: Callable[[Value], int]) -> None:
        self.most_bytes, self.n_bytes = most_bytes, n_bytes
        self.kept: dict[Key, Value] = {}
        self.used = 0

    def __contains__(self, key: Key) -> bool:
        return key in self.kept

    def take(self, key: Key) -> Value | None:
        """What is kept under a key, and is the newest from now on."""
        value = self.kept.pop(key, None)
        if value is not None:
            self.kept[key] = value
        return value

    def keep(self, key: Key, value: Value) -> None:
        """Under a key that nothing is kept under."""
        self.kept[key] = value
        self.used += self.n_bytes(value)
        self._let_go(n_kept=1)

    def taken_or_read(self, key: Key, read: Callable[[], Value]) -> Value:
        """What is kept under a key, or is read: before that there is room for as much as the last
        one took."""
        value = self.take(key)
        if value is None:
            last = next(reversed(self.kept.values()), None)
            self._let_go(n_kept=0, more=0 if last is None else self.n_bytes(last))
            value = read()
            self.keep(key, value)
        return value

    def clear(self) -> None:
        """Nothing is kept."""
        self.kept.clear()
        self.used = 0

    def _let_go(self, n_kept: int, more: int = 0) -> None:
        while len(self.kept) > n_kept and self.used + more > self.most_bytes:
            self.used -= self.n_bytes(self.kept.pop(next(iter(self.kept))))
