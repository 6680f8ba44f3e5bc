"""Rows as JSON (RFC 8259), never anything that is not.

NULL                    null
numbers                 all their digits; "NaN", "Infinity", "-Infinity" as texts, as to_json
json, jsonb             what they are
arrays                  lists
dates, times, moments   texts in ISO 8601; so are intervals
bytea                   a text in PostgreSQL's hex form, \\x00ff
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from json.encoder import encode_basestring as quoted
from typing import Any, TextIO

from feature_atlas.models.notation.exact_values import JsonText


def write_json(stream: TextIO, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """One list, an object a row and line; returns the rows."""
    lines, n_rows = json_lines(names, rows), 0
    stream.write("[")
    for line in lines:
        stream.write(f"{',' if n_rows else ''}\n{line}")
        n_rows += 1
    stream.write("\n]\n")
    return n_rows


def write_json_lines(stream: TextIO, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """An object a line; returns the rows."""
    n_rows = 0
    for line in json_lines(names, rows):
        stream.write(f"{line}\n")
        n_rows += 1
    return n_rows


def json_lines(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterable[str]:
    """Every row as an object on one line."""
    require_distinct(names)
    keys = [f"{quoted(name)}: " for name in names]
    return (
        "{" + ", ".join(key + json_text(v) for key, v in zip(keys, row, strict=True)) + "}"
        for row in rows
    )


def require_distinct(names: Sequence[str]) -> None:
    """ValueError if a form that knows columns by their names would lose one of these."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"the query has more than one column called {', '.join(twice)}: name them with AS."
        )


def json_text(value: Any) -> str:
    """One value."""
    return by_kind(_WRITERS, value) or quoted(str(value))


def by_kind(writers: Mapping[type, Callable[[Any], str]], value: Any) -> str | None:
    """A value as the writer of its type says it, or of the first that it is one of; else None."""
    write = writers.get(type(value))
    if write is None:
        write = next((write for kind, write in writers.items() if isinstance(value, kind)), None)
    return None if write is None else write(value)


def number_text(value: float | Decimal) -> str:
    """A number with all its digits, as PostgreSQL reads it."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return f"{value:f}" if isinstance(value, Decimal) else float.__repr__(value)


def hex_text(value: bytes | memoryview) -> str:
    """Bytes, as PostgreSQL reads them."""
    return f"\\x{value.hex()}"


def _number(value: float | Decimal) -> str:
    text = number_text(value)
    return f'"{text}"' if text[-1] in "Ny" else text


def _list(values: Iterable[Any]) -> str:
    return f"[{', '.join(map(json_text, values))}]"


def _object(values: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{quoted(str(k))}: {json_text(v)}" for k, v in values.items()) + "}"


def _moment(value: date | time) -> str:
    return f'"{value.isoformat()}"'


_WRITERS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "null",
    bool: lambda value: "true" if value else "false",
    int: str,
    float: _number,
    Decimal: _number,
    JsonText: lambda value: value.replace("\r", " ").replace("\n", " "),  # only between its tokens
    str: quoted,
    bytes: lambda value: quoted(hex_text(value)),
    list: _list,
    tuple: _list,
    dict: _object,
    date: _moment,  # a datetime is one
    time: _moment,
}
