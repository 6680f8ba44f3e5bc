"""Rows on a terminal: a table where it fits, else one record a block, as psql's `\\x`.

    -[ 1 ]------
    layer   | 4
    feature | 7

Words are folded down to a column that can still be read, numbers never. Values are in the notation
of CSV; what would move the cursor or change colours is shown, not obeyed.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from feature_atlas.models.notation.csv_text import plain_text

NARROWEST = 24
"""Characters that a column of words keeps."""

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def print_rows(console: Console, title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Rows by their names, all of the same ones."""
    if rows:
        print_columns(console, title, list(rows[0]), [list(row.values()) for row in rows])
    else:
        console.print(f"{title}: none", markup=False, highlight=False)


def print_columns(
    console: Console, title: str, names: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Rows by their places; two columns may have one name."""
    heads = [_visible(name) for name in names]
    cells = [[_visible(plain_text(value) or "") for value in row] for row in rows]
    is_words = [any(isinstance(row[i], str) for row in rows) for i in range(len(heads))]
    widths = _widths(heads, cells, is_words, console.width)
    if widths is None:
        _print_blocks(console, title, heads, cells)
        return
    table = Table(title=Text(title) if title else None, title_justify="left")
    for head, width, words in zip(heads, widths, is_words, strict=True):
        justify: JustifyMethod = "left" if words else "right"
        table.add_column(Text(head), width=width, justify=justify, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)


def _widths(
    heads: list[str], cells: list[list[str]], is_words: list[bool], room: int
) -> list[int] | None:
    """Of the columns, the widest narrowed until all fit; None: they never do."""
    columns = list(zip(*cells, strict=True)) if cells else [()] * len(heads)
    whole = [_longest([head, *column]) for head, column in zip(heads, columns, strict=True)]
    least = [
        min(wide, NARROWEST) if words else max(_longest(column), _longest(head.split()))
        for head, column, wide, words in zip(heads, columns, whole, is_words, strict=True)
    ]
    room -= 3 * len(heads) + 1
    if not heads or sum(least) > room:
        return None
    whole = [min(wide, room) for wide in whole]
    while sum(whole) > room:
        widest = max(range(len(whole)), key=lambda i: whole[i] - least[i])
        whole[widest] -= 1
    return whole


def _longest(texts: Iterable[str]) -> int:
    lines = (line for text in texts for line in text.split("\n"))
    return max(map(cell_len, lines), default=0)


def _print_blocks(console: Console, title: str, heads: list[str], cells: list[list[str]]) -> None:
    """A line a value, which the terminal may wrap, so that it can be copied whole."""
    width = _longest(heads)
    lines = [title] if title else []
    for number, row in enumerate(cells, start=1):
        lines.append(f"-[ {number} ]".ljust(width + 3, "-"))
        for head, value in zip(heads, row, strict=True):
            for name, line in zip_longest([head], value.split("\n"), fillvalue=""):
                padding = " " * (width - cell_len(name))
                lines.append(f"{name}{padding} | {line}".rstrip())
    console.print(Text("\n".join(lines)), soft_wrap=True)


def _visible(text: str) -> str:
    return _CONTROL.sub(
        lambda found: found[0].encode("unicode_escape").decode(), text.expandtabs(4)
    )
