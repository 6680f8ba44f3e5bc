"""Files of JSON lines, compressed, as Neuronpedia exchanges them: `batch-0.jsonl.gz`, ..."""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

BATCH = 1024
"""Features, or rows, in one file, as in Neuronpedia's own exports."""


class Line(NamedTuple):
    """One line of a file."""

    file: Path
    number: int
    """From 1, as editors count."""
    value: dict[str, Any]
    """The object it holds."""

    def refuse(self, what: str) -> ValueError:
        """An error about this line."""
        return ValueError(f"{self.file}, line {self.number}: {what}. Nothing was imported.")


def write_batches(folder: Path, rows: Iterable[tuple[int, dict[str, Any]]]) -> int:
    """Rows in order of their batch number, a file for each number. Returns how many rows."""
    folder.mkdir(parents=True)
    n_rows = 0
    for number, group in groupby(rows, key=lambda row: row[0]):
        # no name and no time in the header: the same rows are the same bytes
        with (
            (folder / f"batch-{number}.jsonl.gz").open("wb") as file,
            gzip.GzipFile("", "wb", 5, file, mtime=0) as packed,
        ):
            for _, value in group:
                packed.write(json.dumps(value).encode() + b"\n")
                n_rows += 1
    return n_rows


def write_lines(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    """A small file, not compressed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def read_lines(file: Path) -> Iterator[Line]:
    """Every line of a file, compressed or not; what cannot be read is named."""
    number = 0
    try:
        with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as stream:
            for number, text in enumerate(stream, start=1):
                if text.strip():
                    yield Line(file, number, _object(file, number, text))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{file} ends or breaks after line {number} ({error}): it is truncated or no gzip "
            "file; copy it again. Nothing was imported."
        ) from None


def _object(file: Path, number: int, text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{file}, line {number}: not JSON ({error}). Nothing was imported."
        ) from None
    if not isinstance(value, dict):
        raise ValueError(
            f"{file}, line {number}: holds {type(value).__name__}, expected an object. "
            "Nothing was imported."
        )
    return value
