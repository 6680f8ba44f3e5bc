"""What a person typed into a search, as a text that a database takes."""

MAX_CHARACTERS = 1000
"""Of a query; more are cut off."""


def typed_words(typed: str) -> str:
    """The same words; characters that no database or endpoint takes become spaces."""
    sendable = typed.encode("utf-8", "replace").decode("utf-8").replace("\0", " ")
    return " ".join(sendable.split())[:MAX_CHARACTERS]
