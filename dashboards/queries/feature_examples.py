"""What one feature fires on: its stored examples, and their words and answers together."""

import pandas as pd

from feature_atlas.dashboards.queries.database import cached, select

KINDS = {
    "strongest": ("e.quantile IS NULL", "e.max_activation DESC, e.source, e.rank"),
    "by quantile": ("e.quantile IS NOT NULL", "e.quantile DESC, e.max_activation DESC, e.rank"),
    "random": ("e.draw IS NOT NULL", "e.draw, e.source"),
}
"""Which examples, and in which order."""

N_GROUPS = 20
"""Words and answers that are listed."""


@cached
def example_sources(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """source, n_strongest, n_quantile, n_random: how many examples are stored."""
    return select(
        """
        SELECT source, count(*) FILTER (WHERE quantile IS NULL) AS n_strongest,
               count(quantile) AS n_quantile, count(draw) AS n_random
        FROM atlas.example WHERE run_id = :run_id AND layer = :layer AND feature = :feature
        GROUP BY source ORDER BY source
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def examples(
    run_id: int, layer: int, feature: int, kind: str, source: str | None, n: int
) -> pd.DataFrame:
    """source, rank, quantile, draw, question, answer, relation, max_activation, tokens,
    activations, external_id, thumbnail, width, height; grid_rows, grid_columns, seen_left,
    seen_top, seen_right, seen_bottom, patch_activation, patches (NULL: silent on the picture; all
    of them: not stored); the first `n` of a kind (`KINDS`), of all sources or one.
    """
    which, order = KINDS[kind]
    return select(
        f"""
        SELECT e.source, e.rank, e.quantile, e.draw, s.question, s.answer, s.relation,
               e.max_activation, e.tokens, e.activations, s.external_id, i.thumbnail, i.width,
               i.height, p.grid_rows, p.grid_columns, p.seen_left, p.seen_top, p.seen_right,
               p.seen_bottom, p.max_activation AS patch_activation, p.patches
        FROM atlas.example e JOIN atlas.sample s ON s.id = e.sample_id
        JOIN atlas.image i ON i.id = s.image_id
        LEFT JOIN atlas.patch_activation p USING (run_id, layer, feature, sample_id)
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature AND {which}
          AND (CAST(:source AS text) IS NULL OR e.source = :source)
        ORDER BY {order} LIMIT :n
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
        source=source,
        n=n,
    )


@cached
def example_words(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """word (a token in small letters), n_examples, mean_activation, max_activation: what it fires
    on in its stored examples, in how many of them, and how strongly."""
    return select(
        """
        SELECT lower(btrim(token)) AS word, count(DISTINCT (source, rank)) AS n_examples,
               avg(activation)::real AS mean_activation, max(activation) AS max_activation
        FROM atlas.example CROSS JOIN LATERAL unnest(tokens, activations) AS f (token, activation)
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature AND activation > 0
        GROUP BY 1 ORDER BY n_examples DESC, max_activation DESC, word LIMIT :n
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
        n=N_GROUPS,
    )


@cached
def example_answers(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """answer, n_examples, mean_activation, max_activation: right answers of its stored examples."""
    return select(
        """
        SELECT s.answer, count(*) AS n_examples, avg(max_activation)::real AS mean_activation,
               max(max_activation) AS max_activation
        FROM atlas.example JOIN atlas.sample s ON s.id = sample_id
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature
        GROUP BY s.answer ORDER BY n_examples DESC, max_activation DESC, s.answer LIMIT :n
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
        n=N_GROUPS,
    )
