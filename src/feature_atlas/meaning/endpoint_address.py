"""The address of an endpoint that speaks OpenAI's protocol: what is wrong with one, in words."""

import re
from urllib.parse import urlsplit

_CALLS = re.compile(r"/(chat/completions|completions|embeddings|responses|models)/?$")


def require_base_url(url: str, setting: str) -> None:
    """ValueError if no request to this address can arrive."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(
            f"{setting} is {url!r}, expected an address such as http://localhost:8000/v1."
        )
    if call := _CALLS.search(parts.path):
        raise ValueError(
            f"{setting} is {url!r}, the address of one call; expected {url[: -len(call[0])]!r}, "
            f"without {call[0].rstrip('/')!r}."
        )


def doubt_about(url: str) -> str:
    """What may be wrong with an address at which nothing answers as it should."""
    path = urlsplit(url).path.rstrip("/")
    if re.search(r"/(v\d+\w*)/\1$", path):
        return f"it names {path.rpartition('/')[2]} twice: try {url.rstrip('/').rpartition('/')[0]}"
    if not re.search(r"/v\d+\w*(/|$)", path):
        return f"it does not end in /v1, as most do: try {url.rstrip('/')}/v1"
    return "is it the address of an endpoint that speaks OpenAI's protocol?"
