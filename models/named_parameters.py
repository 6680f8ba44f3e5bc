"""`:name` in a statement of a user: where it stands for a value, and where it is other SQL.

Left alone is what PostgreSQL's scanner reads as one piece: literals with and without escapes,
quoted identifiers, dollar-quoted texts, comments (which nest), the cast `::`. In the square
brackets of a subscript every colon is a slice's; a value goes there in parentheses, `tokens[(:n)]`.
In ARRAY[:a, :b] it needs none.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

_WORD = r"[^\W\d][\w$]*"
_TOKEN = re.compile(
    rf"""
    --[^\n]*
    | [eE]'(?:[^'\\]|''|\\.)*(?:'\s*\n\s*'(?:[^'\\]|''|\\.)*)*(?:'|\\?\Z)   # lines continue it
    | '(?:[^']|'')*(?:'|\Z)
    | "(?:[^"]|"")*(?:"|\Z)
    | \$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)
    | (?P<comment>/\*)
    | (?P<word>{_WORD})
    | ::
    | :(?P<name>[^\W\d]\w*)
    | \s+
    | .
    """,
    re.DOTALL | re.VERBOSE,
)


class Numbered(NamedTuple):
    """A statement with PostgreSQL's own $1, $2 in place of names."""

    sql: str
    """As it is sent."""
    values: list[Any]
    """Of $1, $2, ..."""
    places: list[tuple[int, int]]
    """Of pieces of it: where they begin in it, and where in the statement as it was written."""

    def written_place(self, place: int) -> int:
        """Where in the statement as it was written that is which is at a place of this one."""
        sent, written = max(found for found in self.places if found[0] <= place)
        return written + place - sent


def numbered(statement: str, values: Mapping[str, Any]) -> Numbered:
    """Put a number for every `:name` that has a value; other names are left as they are."""
    numbers: dict[str, int] = {}
    sql, places, copied = "", [(0, 0)], 0
    for found in _parameters(statement):
        name = found["name"]
        if name in values:
            number = numbers.setdefault(name, len(numbers) + 1)
            sql += statement[copied : found.start()]
            places.append((len(sql), found.start()))
            sql += f"${number}"
            copied = found.end()
            places.append((len(sql), copied))
    return Numbered(sql + statement[copied:], [values[name] for name in numbers], places)


def parameter_names(statement: str) -> list[str]:
    """The names that a statement asks values for, each once, in order."""
    return list(dict.fromkeys(found["name"] for found in _parameters(statement)))


def _parameters(statement: str) -> Iterator[re.Match[str]]:
    """Every `:name` that is a parameter."""
    brackets: list[str] = []
    before = ""
    place = 0
    while found := _TOKEN.match(statement, place):
        place = found.end() if found["comment"] is None else _comment_end(statement, place)
        token = found[0]
        if found["comment"] or token.isspace() or token.startswith("--"):
            continue
        if token in ("[", "("):
            brackets.append(_kind(token, before, brackets))
        elif token in ("]", ")") and brackets:
            brackets.pop()
        elif found["name"] is not None and not (brackets and brackets[-1] == "subscript"):
            yield found
        before = token


def _kind(opening: str, before: str, brackets: Collection[str]) -> str:
    """What a bracket holds: ARRAY[[1, 2], [3, 4]] has its members in brackets, too."""
    if opening == "(":
        return "parenthesis"
    is_inner = before in ("[", ",") and bool(brackets) and [*brackets][-1] == "array"
    return "array" if before.upper() == "ARRAY" or is_inner else "subscript"


def _comment_end(statement: str, place: int) -> int:
    depth = 0
    for found in re.compile(r"/\*|\*/").finditer(statement, place):
        depth += 1 if found[0] == "/*" else -1
        if depth == 0:
            return found.end()
    return len(statement)
