"""Vectors of descriptions: each text embedded once, and compared where pgvector is."""

from collections.abc import Sequence

import numpy as np
import pytest
from embedded_labels import LABELS, stored
from embedding_endpoint import vector_of
from sqlalchemy import Engine, text

from feature_atlas.etl.labels.embedding import embed_labels, enable_vector, text_hash


class Told:
    """An embedder that answers from `vector_of`, and counts."""

    revision = "r1"

    def __init__(self, model: str = "told") -> None:
        self.model = model
        self.asked: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.asked.append(list(texts))
        return np.array([vector_of(text) for text in texts], np.float32)


def nothing(done: int, total: int) -> None:
    """No progress wanted."""


def test_each_text_is_embedded_once_however_many_features_it_describes(atlas: Engine):
    embedder = Told()

    report = embed_labels(atlas, embedder, None, nothing)

    assert report[:3] == (2, 2, 3)  # of 16 descriptions
    assert embedder.asked == [LABELS]
    assert stored(atlas) == {text_hash(label): pytest.approx(vector_of(label)) for label in LABELS}


def test_embedding_again_asks_for_nothing(atlas: Engine):
    embed_labels(atlas, Told(), 1, nothing)
    embedder = Told()

    report = embed_labels(atlas, embedder, 1, nothing)

    assert report[:3] == (2, 0, 3)
    assert embedder.asked == []


def test_another_model_or_revision_embeds_anew(atlas: Engine):
    embed_labels(atlas, Told(), 1, nothing)
    other = Told("other")

    assert embed_labels(atlas, other, 1, nothing).n_new == 2


def test_a_killed_command_keeps_its_batches(atlas: Engine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("feature_atlas.etl.labels.embedding.BATCH", 1)

    class Dies(Told):
        def embed(self, texts: Sequence[str]) -> np.ndarray:
            if self.asked:
                raise KeyboardInterrupt
            return super().embed(texts)

    done: list[tuple[int, int]] = []
    with pytest.raises(KeyboardInterrupt):
        embed_labels(atlas, Dies(), 1, lambda *share: done.append(share))
    rest = Told()
    embed_labels(atlas, rest, 1, nothing)

    assert done == [(1, 2)]
    assert rest.asked == [[LABELS[1]]]
    assert len(stored(atlas)) == 2


def test_another_model_under_the_same_name_is_refused(atlas: Engine):
    embed_labels(atlas, Told(), 1, nothing)
    with atlas.begin() as connection:
        connection.execute(
            text("DELETE FROM atlas.label_embedding WHERE text_hash = :hash"),
            {"hash": text_hash(LABELS[0])},
        )

    class Longer(Told):
        def embed(self, texts: Sequence[str]) -> np.ndarray:
            return np.ones((len(texts), 5), np.float32)

    with pytest.raises(ValueError, match=r"'told' gave vectors of 5 numbers; .* have 3. Another"):
        embed_labels(atlas, Longer(), 1, nothing)
    assert len(stored(atlas)) == 1


def test_vectors_are_compared_where_pgvector_is(atlas: Engine, pgvector: None):
    embed_labels(atlas, Told(), 1, nothing)
    query = text(
        "SELECT layer, feature, whole_text FROM"
        " atlas.search_meaning(cast(:meaning AS real[]), 'told', 'r1', 1) ORDER BY place"
    )
    values = {"meaning": vector_of("to port")}
    with atlas.connect() as connection:
        assert connection.execute(query, values).all() == []

    assert enable_vector(atlas)
    assert enable_vector(atlas)  # it is there
    with atlas.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO atlas.review (run_id, layer, feature, verdict, description, reviewer)"
                " VALUES (1, 0, 1, 'edit', 'asks where things are', 'Ada')"
            )
        )
        nearest = connection.execute(query, values).all()

    # seven features have both descriptions, and count with the nearer one; one has only the other
    assert [row.whole_text for row in nearest] == [LABELS[0]] * 7 + [LABELS[1]]
    assert nearest[-1][:2] == (0, 1)
