"""Vectors of descriptions, for search by meaning. Part of the loader's family: it writes.

A text is embedded once per model, however many features of however many runs it describes. Every
batch is kept when it is done, so that a killed command goes on where it stopped.
"""

import hashlib
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Display
from sqlalchemy import Connection, Engine, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from feature_atlas.etl.postgres.embedded import ensure_database
from feature_atlas.etl.stages.meaning.embedding_model import NONE_CHOSEN, chosen_embedder
from feature_atlas.etl.warehouse.migrate import migrate
from feature_atlas.etl.warehouse.runs import resolve_run
from feature_atlas.meaning.embedding import Embedder
from feature_atlas.models import LabelEmbedding
from feature_atlas.models.session import make_engine

BATCH = 64
"""Texts sent at once; endpoints take at least that many."""

Progress = Callable[[int, int], None]
"""Called with how many of how many texts are done."""


class EmbedReport(NamedTuple):
    """What `embed_labels` did."""

    n_texts: int
    """Different descriptions of the run, or of all runs."""
    n_new: int
    """Of them, those that got their vector now."""
    n_dims: int
    """Numbers of a vector; 0 when there is none."""
    seconds: float
    """How long it took."""


def embed(run: str | None, console: Console) -> EmbedReport:
    """Give the descriptions of a run, or of all, their vectors."""
    embedder = chosen_embedder()
    if embedder is None:
        raise ValueError(f"{NONE_CHOSEN}. Search works without, by words alone.")
    engine = make_engine(ensure_database())
    migrate(engine)
    with engine.connect() as connection:
        run_id = None if run is None else resolve_run(connection, run).id
    can_compare = enable_vector(engine)
    report = _with_progress(engine, embedder, run_id, console)
    console.print(
        f"{report.n_new:,} of {report.n_texts:,} descriptions embedded by {embedder.model} in "
        f"{report.seconds:.1f} s; the others had their vector",
        markup=False,
    )
    if not can_compare:
        console.print(
            "this database has no pgvector, so search stays with words; ask its administrator "
            "for `CREATE EXTENSION vector`"
        )
    return report


def embed_labels(
    engine: Engine, embedder: Embedder, run_id: int | None, progress: Progress
) -> EmbedReport:
    """Embed the descriptions that have no vector of this model yet; run_id None: of all runs."""
    started = time.monotonic()
    with engine.begin() as connection:
        texts = _descriptions(connection, run_id)
        missing = _without_vector(connection, embedder, texts)
        n_dims = _stored_length(connection, embedder)
    for first in range(0, len(missing), BATCH):
        some = missing[first : first + BATCH]
        vectors = embedder.embed(some)
        n_dims = _same_length(embedder, vectors, n_dims)
        with engine.begin() as connection:
            _store(connection, embedder, some, vectors)
        progress(first + len(some), len(missing))
    return EmbedReport(len(texts), len(missing), n_dims, time.monotonic() - started)


def enable_vector(engine: Engine) -> bool:
    """Whether the database can compare vectors; installs pgvector where that is possible."""
    with engine.connect() as connection:
        if connection.scalar(text("SELECT true FROM pg_extension WHERE extname = 'vector'")):
            return True
    try:
        with engine.begin() as connection:
            # the schema is named: a user called atlas would put it among the atlas' own tables
            connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public"))
    except DBAPIError:  # not on this server, or not for this user
        return False
    return True


def text_hash(description: str) -> str:
    """The key of a description's vector."""
    return hashlib.sha256(description.encode()).hexdigest()


def _descriptions(connection: Connection, run_id: int | None) -> list[str]:
    query = (
        "SELECT DISTINCT description FROM atlas.description"
        r" WHERE description ~ '\S' AND run_id = coalesce(:run_id, run_id) ORDER BY 1"
    )
    return list(connection.scalars(text(query), {"run_id": run_id}))


def _without_vector(connection: Connection, embedder: Embedder, texts: list[str]) -> list[str]:
    query = (
        "SELECT text_hash FROM atlas.label_embedding WHERE model = :model AND revision = :revision"
    )
    there = set(connection.scalars(text(query), _key(embedder)))
    return [description for description in texts if text_hash(description) not in there]


def _stored_length(connection: Connection, embedder: Embedder) -> int:
    query = (
        "SELECT cardinality(embedding) FROM atlas.label_embedding"
        " WHERE model = :model AND revision = :revision LIMIT 1"
    )
    return int(connection.scalar(text(query), _key(embedder)) or 0)


def _same_length(embedder: Embedder, vectors: np.ndarray, n_dims: int) -> int:
    """The length of the vectors, which never changes for a model."""
    if n_dims not in (0, vectors.shape[1]):
        raise ValueError(
            f"the embedding model {embedder.model!r} gave vectors of {vectors.shape[1]} numbers; "
            f"those stored under its name have {n_dims}. Another model answers under that name: "
            "give it another one (ATLAS_EMBEDDING_MODEL), or delete its rows of "
            "atlas.label_embedding."
        )
    return int(vectors.shape[1])


def _store(
    connection: Connection, embedder: Embedder, texts: list[str], vectors: np.ndarray
) -> None:
    rows = [
        {
            **_key(embedder),
            "text_hash": text_hash(description),
            "description": description,
            "embedding": vector.tolist(),
        }
        for description, vector in zip(texts, vectors, strict=True)
    ]
    # another process may embed the same texts at this moment
    connection.execute(insert(LabelEmbedding).on_conflict_do_nothing(), rows)


def _key(embedder: Embedder) -> dict[str, str]:
    return {"model": embedder.model, "revision": embedder.revision}


def _with_progress(
    engine: Engine, embedder: Embedder, run_id: int | None, console: Console
) -> EmbedReport:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    with Display(*columns, *times, console=console) as display:
        task = display.add_task("embed", total=None)
        return embed_labels(
            engine,
            embedder,
            run_id,
            lambda done, total: display.update(task, completed=done, total=total),
        )
