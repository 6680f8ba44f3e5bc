"""Passwords and keys: from the environment, or from a file that it names, as in containers."""

import os
from pathlib import Path


def secret(name: str) -> str | None:
    """The variable NAME, or what the file holds that NAME_FILE names; None: neither is set."""
    value, file = os.environ.get(name), os.environ.get(f"{name}_FILE")
    if not file:
        return value or None
    if value:
        raise ValueError(f"{name} and {name}_FILE are both set: expected one of them; unset one.")
    try:
        held = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{name}_FILE names {file}, which cannot be read ({error}): expected a text file that "
            "holds the secret and nothing else."
        ) from None
    if not held:
        raise ValueError(f"{name}_FILE names {file}, which is empty: write the secret into it.")
    return held
