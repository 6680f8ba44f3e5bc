"""JSON with nothing in it that PostgreSQL cannot hold, and nothing said twice."""

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from math import isfinite
from typing import Any

from feature_atlas.models.storable_text import fault_of


def parse_strictly(content: bytes) -> Any:
    """What a JSON text says, or a ValueError that says what is wrong with it."""
    try:
        said = json.loads(
            content.decode(),
            parse_constant=_finite,
            parse_float=_finite,
            object_pairs_hook=_once,
        )
        texts = list(_texts(said))
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-8 text (byte {error.start})") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no JSON ({error})") from None
    for where, text in texts:
        if fault := fault_of(text):
            raise ValueError(f"{where} holds {fault}: {shortly(text)}")
    return said


def repeated(values: Iterable[Hashable]) -> Hashable | None:
    """The first value that comes more than once, if one does."""
    return next((value for value, n in Counter(values).items() if n > 1), None)


def shortly(value: object) -> str:
    """A value for an error message."""
    said = repr(value)
    return said if len(said) <= 80 else said[:77] + "..."


def _finite(word: str) -> float:
    number = float(word.replace("Infinity", "inf"))
    if not isfinite(number):
        raise ValueError(f"{word} is no finite number")
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    double = repeated(name for name, _ in pairs)
    if double is not None:
        raise ValueError(f"{double!r} comes twice in one object")
    return dict(pairs)


def _texts(value: object, where: str = "the file") -> Iterator[tuple[str, str]]:
    """Every text in it, names as well, with where it stands."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield where, name
            yield from _texts(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, where)
