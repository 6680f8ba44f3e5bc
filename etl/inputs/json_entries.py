"""JSON files of questions, statements and objects: read whole, every fault with file and row.

What a file says twice, in another type, or in half a character is refused when it is read: found
after hours of computing, it would be blamed on something else.
"""

import codecs
import json
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from feature_atlas.models.storable_text import fault_of

Object = dict[str, Any]


class Entry(NamedTuple):
    """One object of a file."""

    file: Path
    place: str
    """Where it stands: ``entry 3``, counted from 0, or ``line 4``, from 1."""
    value: Object
    """What it says."""

    def refuse(self, what: str) -> ValueError:
        """An error about this object."""
        return ValueError(f"{self.file} {self.place}: {what}.")

    def text(self, name: str) -> str:
        """A text with something in it."""
        found = self._field(name, "a text")
        if not isinstance(found, str):
            raise self.refuse(f"{name} is {_shortly(found)}, expected a text")
        if not found.strip():
            raise self.refuse(f"{name} is empty, expected a text")
        if fault := fault_of(found):
            raise self.refuse(f"{name} holds {fault}: {_shortly(found)}")
        return found

    def whole(self, name: str) -> int:
        """A whole number from 0."""
        found = self._field(name, "a whole number from 0")
        if type(found) is not int or found < 0:  # true is an int, too
            raise self.refuse(f"{name} is {_shortly(found)}, expected a whole number from 0")
        return found

    def one_of(self, name: str, *known: object) -> Any:
        """One of some values."""
        found = self._field(name, " or ".join(map(str, known)))
        if not any(type(found) is type(value) and found == value for value in known):
            expected = " or ".join(map(str, known))
            raise self.refuse(f"{name} is {_shortly(found)}, expected {expected}")
        return found

    def texts(self, name: str, n: int) -> list[str]:
        """A list of n different texts with something in them."""
        found = self._field(name, f"{n} texts")
        if not isinstance(found, list) or len(found) != n:
            raise self.refuse(f"{name} is {_shortly(found)}, expected {n} texts")
        texts = [Entry(self.file, self.place, {name: one}).text(name) for one in found]
        if len(set(texts)) < n:
            raise self.refuse(f"{name} says {_shortly(found)}, expected {n} different texts")
        return texts

    def inner(self, name: str) -> "Entry":
        """An object in this one."""
        found = self._field(name, "an object")
        if not isinstance(found, dict):
            raise self.refuse(f"{name} is {_shortly(found)}, expected an object")
        return Entry(self.file, f"{self.place}, {name}", found)

    def objects(self, name: str) -> list["Entry"]:
        """A list of objects in this one."""
        found = self._field(name, "a list of objects")
        if not isinstance(found, list):
            raise self.refuse(f"{name} is {_shortly(found)}, expected a list of objects")
        place = f"{self.place}, {name}"
        return _objects([Entry(self.file, f"{place} {row}", one) for row, one in enumerate(found)])

    def numbers(self, name: str, n: int) -> list[float]:
        """A list of n finite numbers."""
        found = self._field(name, f"{n} numbers")
        if (
            not isinstance(found, list)
            or len(found) != n
            or not all(type(x) in (int, float) and isfinite(x) for x in found)
        ):
            raise self.refuse(f"{name} is {_shortly(found)}, expected {n} numbers")
        return [float(x) for x in found]

    def _field(self, name: str, expected: str) -> Any:
        if name not in self.value:
            raise self.refuse(f"{name} is missing, expected {expected}")
        return self.value[name]


def read_text(file: Path, expected: str) -> str:
    """A whole file, as UTF-8 with or without a byte order mark."""
    if not file.is_file():
        raise FileNotFoundError(f"no {file}: expected {expected}.")
    content = file.read_bytes().removeprefix(codecs.BOM_UTF8)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{file} line {line} is no UTF-8 text (byte {error.start} is "
            f"0x{content[error.start]:02x}): expected {expected}; save it as UTF-8."
        ) from None
    if not text.strip():
        raise ValueError(f"{file} is empty: expected {expected}.")
    return text


def read_object(file: Path, expected: str, dropped: str | None = None) -> Object:
    """A file that is one JSON object; fields called ``dropped`` fill it and are not kept."""
    content = _read_json(file, expected, dropped)
    if not isinstance(content, dict):
        raise ValueError(f"{file} holds {type(content).__name__}: expected {expected}.")
    return content


def read_pairs(file: Path, expected: str) -> list[tuple[int, int]]:
    """A file that is a list of pairs of whole numbers from 0."""
    content = _read_json(file, expected)
    if not isinstance(content, list):
        raise ValueError(f"{file} holds {type(content).__name__}: expected {expected}.")
    for row, pair in enumerate(content):
        is_pair = isinstance(pair, list) and len(pair) == 2
        if not is_pair or not all(type(number) is int and number >= 0 for number in pair):
            raise ValueError(
                f"{file} entry {row}: holds {_shortly(pair)}, expected two whole numbers from 0."
            )
    return [(one, other) for one, other in content]


def read_list(file: Path, expected: str) -> list[Entry]:
    """A file that is one JSON list of objects."""
    content = _read_json(file, expected)
    if not isinstance(content, list):
        raise ValueError(f"{file} holds {type(content).__name__}: expected {expected}.")
    return _objects([Entry(file, f"entry {row}", value) for row, value in enumerate(content)])


def read_named(file: Path, expected: str) -> dict[str, Entry]:
    """A file that is one JSON object of objects, by their names."""
    content = read_object(file, expected)
    rows = [Entry(file, f"entry {_shortly(name)}", value) for name, value in content.items()]
    for name, row in zip(content, rows, strict=True):
        if fault := fault_of(name):
            raise row.refuse(f"its name holds {fault}")
        if not name.strip():
            raise row.refuse("its name is empty, expected an id")
    return dict(zip(content, _objects(rows), strict=True))


def _read_json(file: Path, expected: str, dropped: str | None = None) -> Any:
    text = read_text(file, expected)
    try:
        return json.loads(text, object_pairs_hook=_once(dropped), parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is not complete JSON ({error}): download it again.") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is no sound JSON ({error}): download it again.") from None


def entries(file: Path, content: Object, name: str, noun: str = "entry") -> list[Entry]:
    """The objects of one list of a file."""
    found = content.get(name)
    if not isinstance(found, list):
        raise ValueError(f"{file} has no list {name!r}: expected the official layout.")
    return _objects([Entry(file, f"{noun} {row}", value) for row, value in enumerate(found)])


def _objects(rows: list[Entry]) -> list[Entry]:
    for row in rows:
        if not isinstance(row.value, dict):
            raise row.refuse(f"holds {_shortly(row.value)}, expected an object")
    return rows


def read_lines(file: Path, expected: str) -> list[Entry]:
    """A file with a JSON object in each line; blank lines are left out, and counted."""
    # not splitlines: it also cuts at U+2028 and others, which a text may hold
    lines = read_text(file, expected).split("\n")
    return [_line(file, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _line(file: Path, number: int, line: str) -> Entry:
    try:
        value = json.loads(line, object_pairs_hook=_once(None), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} line {number} is not JSON ({error}).") from None
    entry = Entry(file, f"line {number}", value)
    if not isinstance(value, dict):
        raise entry.refuse(f"holds {_shortly(value)}, expected an object")
    return entry


def _once(dropped: str | None) -> Callable[[list[tuple[str, Any]]], Object]:
    """Objects that say nothing twice."""

    def made(pairs: list[tuple[str, Any]]) -> Object:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            double = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"{double!r} comes twice in one object")
        if dropped is not None:
            found.pop(dropped, None)
        return found

    return made


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")


def _shortly(value: object) -> str:
    said = ascii(value)  # half a character cannot be printed
    return said if len(said) <= 60 else said[:57] + "..."
