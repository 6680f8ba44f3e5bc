"""Features found by words, and by meaning where an embedding of the words is at hand."""

import pandas as pd

from feature_atlas.dashboards.queries.database import cached, select


@cached
def features_found(
    run_id: int, words: str, meaning: list[float] | None, model: str, revision: str, n_rows: int
) -> pd.DataFrame:
    """The function atlas.search: layer, feature, label, f1, score, matched, snippet; best first.

    `meaning` is the vector of `words` by that embedding model; None: full text alone.
    """
    return select(
        """
        SELECT layer, feature, label, f1, score, array_to_string(matched, ', ') AS matched, snippet
        FROM atlas.search(
            :words, :run_id, :n_rows, cast(:meaning AS real[]), :model, :revision
        )
        """,
        words=words,
        run_id=run_id,
        n_rows=n_rows,
        meaning=meaning,
        model=model,
        revision=revision,
    )


@cached
def unembedded_labels(run_id: int, model: str, revision: str) -> pd.DataFrame:
    """At most one row, advice: why the run's labels, or some, are not found by meaning."""
    return select(
        """
        SELECT gap.advice FROM atlas.meaning_gap(:model, :revision, :run_id) AS gap (advice)
        WHERE gap.advice IS NOT NULL
        """,
        run_id=run_id,
        model=model,
        revision=revision,
    )
