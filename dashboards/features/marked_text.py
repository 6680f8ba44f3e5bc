"""A question whose tokens are shaded by how strongly a feature fires on them.

Tokens come from data sets and tokenizers, so they are escaped one by one.
"""

from collections.abc import Sequence
from html import escape

SHADE = "224, 142, 30"
"""Red, green, blue of the strongest token's background; weaker ones are more transparent."""

_STYLE = "border-radius:3px;padding:1px 1px;"


def marked_text(
    tokens: Sequence[str], activations: Sequence[float], strongest: float | None = None
) -> str:
    """HTML of the tokens; full shade at `strongest`, by default the largest activation here."""
    if len(tokens) != len(activations):
        raise ValueError(
            f"{len(tokens)} tokens came with {len(activations)} activations; expected one each."
        )
    full = strongest or max(activations, default=0.0)
    # tokenizers that keep spaces put them in the tokens, the others leave them to us
    keeps_spaces = any(token[:1].isspace() for token in tokens)
    spans = [
        _marked_token(token, activation, activation / full if full else 0.0)
        for token, activation in zip(tokens, activations, strict=True)
    ]
    body = ("" if keeps_spaces else " ").join(spans)
    return f'<div class="marked-text" style="white-space:pre-wrap;line-height:1.7">{body}</div>'


def _marked_token(token: str, activation: float, share: float) -> str:
    shown = escape(token.replace("\n", "⏎"))
    if activation <= 0:
        return f"<span>{shown}</span>"
    shade = f"background:rgba({SHADE},{0.15 + 0.75 * min(share, 1.0):.2f})"
    return f'<span style="{_STYLE}{shade}" title="activation {activation:.3g}">{shown}</span>'
