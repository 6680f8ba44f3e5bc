"""Addresses of pages, as they stand in tables and on buttons."""

from urllib.parse import urlencode


def page_address(page: str, **choices: object) -> str:
    """Relative, so that it also leads to the page where the atlas is served below a path."""
    return f"{page}?{urlencode(choices)}"
