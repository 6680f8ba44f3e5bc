"""`feature-atlas search`: features by words, and by meaning where that is possible."""

from decimal import Decimal
from typing import Any, NamedTuple, TextIO

from rich.console import Console
from sqlalchemy import Connection, text

from feature_atlas.etl.printed_rows import print_rows
from feature_atlas.etl.stages.meaning.embedding_model import NONE_CHOSEN, chosen_embedder
from feature_atlas.etl.terminal import console_on
from feature_atlas.etl.warehouse.migrate import find_atlas
from feature_atlas.etl.warehouse.runs import published_run
from feature_atlas.meaning.search_words import typed_words
from feature_atlas.models.notation.csv_text import write_csv
from feature_atlas.models.notation.json_text import write_json
from feature_atlas.models.session import make_reader_engine

COLUMNS = ("layer", "feature", "label", "f1", "score", "matched", "snippet")


class Meaning(NamedTuple):
    """What was typed, as a vector."""

    vector: list[float] | None
    """None: search has full text alone."""
    model: str | None
    """The embedding model."""
    revision: str
    """Hash over its files; empty for an endpoint."""
    advice: str | None
    """Why there is no vector, and what to do."""


def print_search(
    words: str, run: str | None, n_rows: int, output: str, stream: TextIO, complaints: Console
) -> None:
    """Search, print what is found, and say on `complaints` why meaning was left out."""
    asked = typed_words(words)
    if not asked:
        raise ValueError('nothing to search for: pass words, e.g. feature-atlas search "left of".')
    url = find_atlas()
    meaning = meaning_of(asked)
    with make_reader_engine(url).connect() as connection:
        run_id = published_run(connection, run).id
        rows = find_features(connection, asked, run_id, n_rows, meaning)
        advice = meaning.advice or _gap(connection, meaning, run_id)
    if advice:
        complaints.print(
            f"full text only, or partly by meaning: {advice}", markup=False, style="yellow"
        )
    _print(rows, output, stream)
    if not rows:
        complaints.print("nothing found: try fewer or other words", style="yellow")


def meaning_of(words: str) -> Meaning:
    """The words as a vector of the chosen model; an endpoint that fails costs only the meaning."""
    try:
        embedder = chosen_embedder()
        if embedder is None:
            return Meaning(None, None, "", NONE_CHOSEN)
        vector = embedder.embed([words])[0].tolist()
    except (ValueError, RuntimeError, ConnectionError) as error:
        return Meaning(None, None, "", str(error))
    return Meaning(vector, embedder.model, embedder.revision, None)


def find_features(
    connection: Connection, words: str, run_id: int, n_rows: int, meaning: Meaning
) -> list[dict[str, Any]]:
    """Rows of the function atlas.search, best first."""
    query = (
        "SELECT layer, feature, label, f1, score, matched, snippet FROM atlas.search("
        ":words, :run_id, :n_rows, cast(:vector AS real[]), :model, :revision)"
    )
    vector, model, revision, _ = meaning
    asked = {"words": words, "run_id": run_id, "n_rows": n_rows}
    of_model = {"vector": vector, "model": model, "revision": revision}
    found = connection.execute(text(query), asked | of_model)
    return [dict(row) for row in found.mappings()]


def _gap(connection: Connection, meaning: Meaning, run_id: int) -> str | None:
    query = text("SELECT atlas.meaning_gap(:model, :revision, :run_id)")
    found: str | None = connection.scalar(
        query, {"model": meaning.model, "revision": meaning.revision, "run_id": run_id}
    )
    return found


def _print(rows: list[dict[str, Any]], output: str, stream: TextIO) -> None:
    if output == "json":
        write_json(stream, COLUMNS, [list(row.values()) for row in rows])
    elif output == "csv":
        found = [{**row, "matched": " ".join(row["matched"])} for row in rows]
        write_csv(stream, COLUMNS, [list(row.values()) for row in found])
    elif rows:
        print_rows(console_on(stream), "", [_short(row) for row in rows])


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """A row for the screen."""
    f1 = None if row["f1"] is None else Decimal(f"{row['f1']:.2f}")
    score, matched = Decimal(f"{row['score']:.4f}"), ", ".join(row["matched"])
    return {**row, "f1": f1, "score": score, "matched": matched}
