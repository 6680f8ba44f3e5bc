"""What a language model was asked to reply in JSON, read generously but never guessed.

Every reader raises ValueError with what is wrong, in words that can be sent back to the model.
"""

import json
import re
from html import unescape
from typing import Any

from feature_atlas.meaning.reply_text import after_reasoning, clean

PREFIX = "this neuron activates for"
MOST_CHARACTERS = 400
"""Of one concise sentence; more is something else."""


def read_description(reply: str) -> str:
    """One lower-case line without the words the prompt began.

    What was sent escaped (`&lt;assistant&gt;`) comes back so from some models.
    """
    text = read_json(reply).get("description")
    if not isinstance(text, str) or not text.strip():
        raise ValueError('"description" is not a sentence')
    line = " ".join(clean(unescape(text).replace("\0", "")).split()).lower().rstrip(".")
    if len(line) > MOST_CHARACTERS:
        raise ValueError(
            f'"description" has {len(line)} characters, expected one sentence of at most '
            f"{MOST_CHARACTERS}"
        )
    return line.removeprefix(PREFIX).strip(" .:") or line


def read_classifications(reply: str, n: int) -> list[bool]:
    """n booleans from 0/1, true/false or "0"/"1"."""
    given = read_json(reply).get("classifications")
    if not isinstance(given, list) or len(given) != n:
        found = f"{len(given)} entries" if isinstance(given, list) else "no list"
        raise ValueError(f'"classifications" has {found}, expected {n}')
    known = {"0": False, "1": True, "false": False, "true": True}
    try:
        return [known[str(entry).lower()] for entry in given]
    except KeyError as entry:
        raise ValueError(f'"classifications" has the entry {entry}, expected 0 or 1') from entry


def read_intruder(reply: str, n: int) -> int:
    """The place, from 0, of the sample that is named by its number, from 1 to n."""
    given = read_json(reply).get("intruder")
    number = int(given) if isinstance(given, str) and given.strip().isdecimal() else given
    if type(number) is not int or not 1 <= number <= n:
        raise ValueError(f'"intruder" is {given!r}, expected a number from 1 to {n}')
    return number - 1


def read_json(reply: str) -> dict[str, Any]:
    """The JSON object of a reply: all of it, or behind the reasoning the only one.

    That is a fenced block, or what the outermost braces hold.
    """
    whole = _object(reply)
    if whole is not None:
        return whole
    said = after_reasoning(reply)
    if said != reply and not said.strip():
        raise ValueError("nothing follows its reasoning")
    fenced = re.findall(r"```(?:json)?\s*(\{.*?\})\s*```", said, flags=re.DOTALL)
    outermost = said[said.find("{") : said.rfind("}") + 1]
    for candidates in ([said], fenced, [outermost]):
        found = [value for value in map(_object, candidates) if value is not None]
        if any(value != found[0] for value in found):
            raise ValueError(f"it holds {len(found)} JSON objects, expected one")
        if found:
            return found[0]
    raise ValueError("it holds no JSON object")


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
