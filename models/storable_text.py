"""What a text from outside must not hold: one rule for all that comes in.

PostgreSQL's text has no zero byte, and UTF-8 no half of a surrogate pair, which JSON can spell.
"""

import re

_NEITHER = re.compile("[\x00\ud800-\udfff]")


def fault_of(text: str) -> str | None:
    """What keeps a text from being stored, in words; None: nothing."""
    found = _NEITHER.search(text)
    if found is None:
        return None
    what = "a zero byte" if found[0] == "\0" else f"half a character ({found[0]!a})"
    return f"{what}, which PostgreSQL's text cannot hold"
