"""What a page of prompts of one's own asks: the run's pictures, and labels of some features."""

import pandas as pd

from feature_atlas.dashboards.queries.database import cached, kept, select


@kept
def example_samples(run_id: int, layer: int, n_samples: int) -> pd.DataFrame:
    """sample_id, question, answer: questions on which a layer's first features fire most, each
    about another picture."""
    return select(
        """
        SELECT DISTINCT ON (s.image_id) s.id AS sample_id, s.question, s.answer
        FROM (
            SELECT sample_id FROM atlas.example
            WHERE run_id = :run_id AND layer = :layer AND rank = 0
            ORDER BY layer, feature, source LIMIT :n_rows
        ) AS found JOIN atlas.sample AS s ON s.id = found.sample_id
        ORDER BY s.image_id, s.id LIMIT :n_samples
        """,
        run_id=run_id,
        layer=layer,
        n_rows=20 * n_samples,
        n_samples=n_samples,
    )


@kept
def sample(sample_id: int) -> pd.DataFrame:
    """At most one row: question, answer, sha256 and thumbnail of its picture."""
    return select(
        """
        SELECT s.question, s.answer, i.sha256, i.thumbnail
        FROM atlas.sample AS s JOIN atlas.image AS i ON i.id = s.image_id WHERE s.id = :sample_id
        """,
        sample_id=sample_id,
    )


@cached
def labels_of(run_id: int, layers: list[int], features: list[int]) -> pd.DataFrame:
    """layer, feature, label of those that have one."""
    return select(
        """
        SELECT layer, feature, label FROM atlas.feature_label
        JOIN unnest(cast(:layers AS int[]), cast(:features AS int[])) AS shown (layer, feature)
            USING (layer, feature)
        WHERE run_id = :run_id AND label IS NOT NULL
        """,
        run_id=run_id,
        layers=layers,
        features=features,
    )
