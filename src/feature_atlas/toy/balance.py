"""Keep yes and no equally frequent in every kind of question, so that words alone tell nothing.

Drawing the wanted answer by a coin is not enough: a scene may hold no two things far from each
other, the wish is dropped, and "far from" ends up mostly "no". So the answer that is behind is
asked for next, and a scene that cannot give it gets another question instead.
"""

from collections import Counter
from random import Random


class Balance:
    """How often each question key was answered yes and no so far."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def wanted(self, key: str, random: Random) -> str:
        """The answer of `key` that is behind; a coin when both are even."""
        yes, no = self.counts[key, "yes"], self.counts[key, "no"]
        if yes == no:
            return random.choice(("yes", "no"))
        return "yes" if yes < no else "no"

    def record(self, key: str, answer: str) -> None:
        """Count a question that was really asked."""
        self.counts[key, answer] += 1
