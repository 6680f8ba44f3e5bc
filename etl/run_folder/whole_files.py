"""Files that are whole or not there: written under a name of their own first."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def written_whole(file: Path) -> Iterator[Path]:
    """Where to write; the file appears, or is replaced, when the block has ended well.

    Processes that write the same file at once do not meet: the last one's is kept.
    """
    temporary = file.with_name(f".{file.name}.{socket.gethostname()}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(file: Path, value: Any) -> None:
    """Write whole or not at all: a killed process leaves the old file."""
    with written_whole(file) as temporary:
        temporary.write_text(json.dumps(value, indent=1), encoding="utf-8")
