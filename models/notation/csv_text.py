"""Rows as CSV (RFC 4180), the only rule by which the atlas writes CSV and reads it back.

    NULL                    nothing; an empty text is "", as PostgreSQL's COPY tells them apart
    booleans                true, false
    numbers                 all their digits; NaN, Infinity, -Infinity
    json, jsonb, arrays     JSON
    dates, times, moments   ISO 8601; so are intervals
    bytea                   PostgreSQL's hex form, \\x00ff

A spreadsheet computes a text that begins with = + - @ or a control character. Such a text, and one
that begins with apostrophes and then so, gets one apostrophe more in front; reading takes one from
such texts alone. So every text comes back as it was, and apostrophes of other texts stay.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from feature_atlas.models.notation.exact_values import IntervalText, JsonText
from feature_atlas.models.notation.json_text import by_kind, hex_text, json_text, number_text

SHEET_ENCODING = "utf-8-sig"
"""Of files for spreadsheets: with the mark by which these know UTF-8."""

_FORMULA = "[=+\\-@\t\r\n＝＋－＠]"
_COMPUTED = re.compile(f"'*{_FORMULA}")
_GUARDED = re.compile(f"'+{_FORMULA}")
_NEEDS_QUOTES = re.compile('[",\r\n]')


def write_csv(stream: TextIO, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """A line of names, then a line a row; returns the rows."""
    stream.write(_line(map(guarded, names)))
    n_rows = 0
    for row in rows:
        stream.write(_line([_cell(value) for value in row]))
        n_rows += 1
    return n_rows


class CsvFile(NamedTuple):
    """What `read_csv` found."""

    names: list[str]
    """Of its columns."""
    rows: list[tuple[int, dict[str, str]]]
    """By these names, each with the number of its last line."""


def read_csv(file: Path) -> CsvFile:
    """Texts as they were meant; a row that is too short has "" in its last columns."""
    return parse_csv(file.read_bytes(), str(file))


def parse_csv(content: bytes, name: str) -> CsvFile:
    """The same of a file that is in memory, and is called `name`."""
    stream = io.TextIOWrapper(io.BytesIO(content), encoding=SHEET_ENCODING, newline="")
    reader = csv.reader(stream, strict=True)
    try:
        names = [meant(name) for name in next(reader, [])]
        rows = [
            (reader.line_num, dict(zip_longest(names, row[: len(names)], fillvalue="")))
            for cells in reader
            if (row := [meant(cell) for cell in cells])
        ]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{name} is not CSV in UTF-8: {error}.") from None
    return CsvFile(names, rows)


def guarded(text: str) -> str:
    """A text that no spreadsheet computes."""
    return f"'{text}" if _COMPUTED.match(text) else text


def meant(cell: str) -> str:
    """The text of which `guarded` made this."""
    return cell[1:] if _GUARDED.match(cell) else cell


def plain_text(value: Any) -> str | None:
    """A value in the notation of CSV, not guarded; None for NULL."""
    if value is None:
        return None
    text = by_kind(_WRITERS, value)
    return str(value) if text is None else text


def _cell(value: Any) -> str | None:
    text = plain_text(value)
    is_words = isinstance(value, str) and not isinstance(value, JsonText | IntervalText)
    return guarded(text) if text and is_words else text


def _line(cells: Iterable[str | None]) -> str:
    line = ",".join("" if cell is None else _quoted(cell) for cell in cells)
    return f"{line}\n" if line else '""\n'  # an empty line would be no row


def _quoted(cell: str) -> str:
    if cell and not _NEEDS_QUOTES.search(cell):
        return cell
    return '"' + cell.replace('"', '""') + '"'


_WRITERS: dict[type, Callable[[Any], str]] = {
    bool: lambda value: "true" if value else "false",
    int: str,
    float: number_text,
    Decimal: number_text,
    str: str,
    bytes: hex_text,
    list: json_text,
    tuple: json_text,
    dict: json_text,
    datetime: lambda value: value.isoformat(),
    date: date.isoformat,
    time: time.isoformat,
}
