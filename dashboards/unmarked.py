"""Words of readers or of the data where Streamlit reads Markdown: labels, headings, links."""

MARKUP = frozenset("\\`*_{}[]()<>#+-.!|~:$&")


def unmarked(words: str) -> str:
    """The same words, every sign that could be markup escaped; bare addresses are no links."""
    return "".join(f"\\{sign}" if sign in MARKUP else sign for sign in words)
