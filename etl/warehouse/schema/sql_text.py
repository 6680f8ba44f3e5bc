"""A text as SQL writes it, for statements that take no parameters: views, comments, DO blocks."""


def sql_text(words: object) -> str:
    """In quotes; PostgreSQL and DuckDB read it alike."""
    return "'" + str(words).replace("'", "''") + "'"
