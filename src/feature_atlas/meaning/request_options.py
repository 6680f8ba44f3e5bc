"""What a request to a chat endpoint asks for besides its messages, and how to ask for less.

An endpoint that does not know one option gets all others. Each has forms, from the one that is
wanted to none at all:

    response_format    json_schema, json_object, none
    max_tokens         max_tokens, max_completion_tokens (its new name at OpenAI), none
    seed, temperature  given, none

A `Form` says which of each. Which option was refused is read from the error, where that tells;
where it does not, each is left out alone before all are.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

Json = dict[str, Any]

MOST_REPLY_TOKENS = 1000
"""A reply is cut there; far more than one sentence or twenty verdicts take."""


class Form(NamedTuple):
    """How plainly each option is asked for; 0 is what is wanted."""

    response_format: int = 0
    max_tokens: int = 0
    seed: int = 0
    temperature: int = 0

    def options(self, task: str, schema: Json, seed: int) -> Json:
        """As they are sent."""
        named = {"name": task, "strict": True, "schema": schema}
        forms: dict[str, list[Json]] = {
            "response_format": [
                {"response_format": {"type": "json_schema", "json_schema": named}},
                {"response_format": {"type": "json_object"}},
            ],
            "max_tokens": [
                {"max_tokens": MOST_REPLY_TOKENS},
                {"max_completion_tokens": MOST_REPLY_TOKENS},
            ],
            "seed": [{"seed": seed}],
            "temperature": [{"temperature": 0}],
        }
        sent: Json = {}
        for name, level in self._asdict().items():
            sent |= forms[name][level] if level < len(forms[name]) else {}
        return sent

    def name(self) -> str:
        """Another one for every form."""
        return "".join(map(str, self)) if any(self) else "0"

    def without(self) -> str:
        """What is left out or replaced, in words; empty: nothing."""
        words = {
            "response_format": ("json_schema (json_object instead)", "response_format"),
            "max_tokens": ("max_tokens (max_completion_tokens instead)", "max_tokens"),
            "seed": ("seed",),
            "temperature": ("temperature",),
        }
        return ", ".join(words[name][level - 1] for name, level in self._asdict().items() if level)


WANTED = Form()
BARE = Form(2, 2, 1, 1)
"""Messages alone."""

WORDS = {
    "response_format": r"response.?format|json_schema|json_object|json.mode|structured|guided"
    r"|grammar",
    "max_tokens": r"\bmax_(?:completion_)?tokens\b",
    "seed": r"\bseed\b",
    "temperature": r"\btemperature\b",
}
"""By which an error names an option."""


def named_options(said: str) -> list[str]:
    """The options that an error names, in the order in which it does."""
    found = {name: re.search(words, said, re.IGNORECASE) for name, words in WORDS.items()}
    places = {name: place.start() for name, place in found.items() if place}
    return sorted(places, key=places.__getitem__)


def plainer(form: Form, names: Sequence[str]) -> list[Form]:
    """Asking for less of these options: of one alone, then of all of them."""
    able = [name for name in names if getattr(form, name) < getattr(BARE, name)]
    alone = [form._replace(**{name: getattr(form, name) + 1}) for name in able]
    together = form._replace(**{name: getattr(form, name) + 1 for name in able})
    return [*alone, together] if len(able) > 1 else alone


def plainest(form: Form, names: Sequence[str]) -> list[Form]:
    """Where nobody knows which option it is: every lower form of each alone, then none of any."""
    alone = [
        form._replace(**{name: level})
        for name in names
        for level in range(getattr(form, name) + 1, getattr(BARE, name) + 1)
    ]
    return [*alone, BARE]
