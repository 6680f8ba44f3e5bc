"""The tables of docs/models.md, each a list of rows by column."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


def table(*columns: str) -> list[dict[str, str]]:
    """Rows of the one table with these columns, without the marks of code spans."""
    blocks = re.findall(r"(?:^\|.*\n)+", (ROOT / "docs" / "models.md").read_text(), re.MULTILINE)
    found = [[_cells(line) for line in block.splitlines()] for block in blocks]
    (rows,) = [rows for rows in found if rows[0] == list(columns)]
    return [dict(zip(columns, row, strict=True)) for row in rows[2:]]


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]


def pairs() -> list[dict[str, str]]:
    """Pairs with a configuration."""
    return table("VLM", "release", "trained on", "which is", "layers", "configuration")


def other_pairs() -> list[dict[str, str]]:
    """Pairs without one."""
    return table("VLM", "release", "trained on", "which is")


def families() -> list[dict[str, str]]:
    """What is held against its own forward."""
    return table("family", "class", "text model", "tokens of a picture")


def releases() -> list[dict[str, str]]:
    """How the files of each are read."""
    return table("release", "layers", "gate", "scale")
