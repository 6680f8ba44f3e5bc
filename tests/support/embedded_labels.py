"""The descriptions of the synthetic run, and their vectors in the database."""

from sqlalchemy import Engine, text

LABELS = ["asks for left of", "asks where things are"]


def stored(engine: Engine) -> dict[str, list[float]]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT text_hash, embedding FROM atlas.label_embedding"))
        return {row.text_hash: row.embedding for row in rows}
