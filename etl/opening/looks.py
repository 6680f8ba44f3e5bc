"""Things looked at one after the other: a fault is noted and the next one is looked at."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

T = TypeVar("T")

FAULTS = (ValueError, OSError, RuntimeError, TypeError, LookupError, AttributeError)
"""What code of others raises at files that are not as it expects; ours are ValueError."""


class Check(NamedTuple):
    """One thing looked at."""

    name: str
    """What was looked at."""
    ok: bool
    """Whether a run can go on with it."""
    found: str
    """What is there, or what is wrong and what to do."""


class Looks:
    """What was looked at so far."""

    def __init__(self) -> None:
        self.checks: list[Check] = []

    def at(self, name: str, look: Callable[[], T], say: Callable[[T], str]) -> T | None:
        """What ``look`` returns, in the words of ``say``; None when it raises."""
        try:
            found = look()
            self.checks.append(Check(name, True, say(found)))
            return found
        except FAULTS as error:
            plain = isinstance(error, ValueError | OSError | RuntimeError)
            said = str(error) if plain else f"{type(error).__name__}: {error}"
            self.checks.append(Check(name, False, said))
            return None

    @property
    def is_good(self) -> bool:
        """Whether no fault was found."""
        return all(check.ok for check in self.checks)


def require_good(checks: list[Check], what: str) -> None:
    """One error with every fault, for who would go on."""
    faults = [check for check in checks if not check.ok]
    if len(faults) == 1:
        raise ValueError(f"{faults[0].name}: {faults[0].found}")
    if faults:
        said = "\n".join(f"  {fault.name}: {fault.found}" for fault in faults)
        raise ValueError(f"{what} has {len(faults)} faults:\n{said}")
