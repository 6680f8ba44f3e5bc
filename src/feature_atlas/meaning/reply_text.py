"""The text of a reply: what of it can be stored, and what of it is the answer."""

import re

_KIND = r"(?:\w+:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|scratchpad)"
_OPENING = re.compile(rf"<{_KIND}>|\[THINK\]|◁think▷|<\|channel\|>\s*analysis", re.IGNORECASE)
_CLOSING = re.compile(
    rf"</{_KIND}>|\[/THINK\]|◁/think▷|<\|channel\|>\s*final\s*(?:<\|message\|>)?", re.IGNORECASE
)


def clean(text: str) -> str:
    """Without what neither UTF-8 nor PostgreSQL can hold: half characters and zero bytes."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def after_reasoning(reply: str) -> str:
    """What follows the reasoning, with all drafts in it; nothing if it never ends.

    Where the prompt has opened it already, its end alone is in the reply.
    """
    ends = [found.end() for found in _CLOSING.finditer(reply)]
    rest = reply[ends[-1] :] if ends else reply
    return "" if _OPENING.search(rest) else rest
