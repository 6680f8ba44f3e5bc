"""What readers keep: their lists, the features in one, and what they say of a feature."""

import pandas as pd

from feature_atlas.dashboards.queries.database import MAX_ROWS, cached, select


@cached
def lists(run_id: int) -> pd.DataFrame:
    """slug, title, owner, note, created_at, n_features, n_here (of the run's dictionary); the
    newest first."""
    return select(
        """
        SELECT list.slug, list.title, list.owner, list.note, list.created_at,
               count(entry.list_id) AS n_features,
               count(*) FILTER (WHERE entry.dictionary = run.dictionary) AS n_here
        FROM lists.list LEFT JOIN lists.entry ON entry.list_id = list.id
        CROSS JOIN (
            SELECT sae_set.fingerprint AS dictionary FROM atlas.run
            JOIN atlas.sae_set ON sae_set.id = run.sae_set_id WHERE run.id = :run_id
        ) AS run
        GROUP BY list.id ORDER BY list.created_at DESC, list.id DESC LIMIT :max_rows
        """,
        run_id=run_id,
        max_rows=MAX_ROWS,
    )


@cached
def feature_list(slug: str) -> pd.DataFrame:
    """slug, title, owner, note, created_at, n_features of one list; no row: there is none."""
    return select(
        """
        SELECT list.slug, list.title, list.owner, list.note, list.created_at,
               (SELECT count(*) FROM lists.entry WHERE list_id = list.id) AS n_features
        FROM lists.list WHERE slug = :slug
        """,
        slug=slug,
    )


@cached
def listed(slug: str, run_id: int, first: int, n_rows: int) -> pd.DataFrame:
    """layer, feature, label, f1, cosine, visual_energy, spatial_odds_ratio, ablation_delta,
    is_adapted, note, added_by, seen_in, created_at, dictionary, is_here (in the run's dictionary:
    only then there are numbers); in the order in which they were added."""
    return select(
        """
        WITH run AS (
            SELECT sae_set.fingerprint AS dictionary FROM atlas.run
            JOIN atlas.sae_set ON sae_set.id = run.sae_set_id WHERE run.id = :run_id
        ), page AS (
            SELECT entry.* FROM lists.entry JOIN lists.list ON list.id = entry.list_id
            WHERE list.slug = :slug
            ORDER BY entry.created_at, dictionary, layer, feature OFFSET :first LIMIT :n_rows
        )
        SELECT page.layer, page.feature, said.label, best.f1, record.cosine, record.visual_energy,
               record.spatial_odds_ratio, removal.delta_accuracy AS ablation_delta,
               record.is_adapted, page.note, page.added_by, page.run AS seen_in, page.created_at,
               page.dictionary, record.layer IS NOT NULL AS is_here
        FROM page LEFT JOIN run USING (dictionary)
        LEFT JOIN atlas.feature_record AS record
            ON record.run_id = :run_id AND run.dictionary IS NOT NULL
            AND record.layer = page.layer AND record.feature = page.feature
        LEFT JOIN atlas.feature_label AS said
            ON said.run_id = :run_id AND said.layer = record.layer
            AND said.feature = record.feature
        LEFT JOIN atlas.best_description AS best
            ON best.run_id = :run_id AND best.layer = record.layer
            AND best.feature = record.feature
        LEFT JOIN atlas.ablation AS removal
            ON removal.run_id = :run_id AND removal.layer = record.layer
            AND removal.feature = record.feature AND removal.evaluation = 'vsr_relation'
            AND removal.intervention = 'directional' AND removal.control_no = 0
        ORDER BY page.created_at, page.dictionary, page.layer, page.feature
        """,
        slug=slug,
        run_id=run_id,
        first=first,
        n_rows=n_rows,
    )


@cached
def lists_with(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """slug, title, note, added_by: the lists that a feature is in."""
    return select(
        """
        SELECT list.slug, list.title, entry.note, entry.added_by
        FROM lists.entry JOIN lists.list ON list.id = entry.list_id
        WHERE entry.dictionary = (
            SELECT sae_set.fingerprint FROM atlas.run
            JOIN atlas.sae_set ON sae_set.id = run.sae_set_id WHERE run.id = :run_id
        ) AND entry.layer = :layer AND entry.feature = :feature
        ORDER BY entry.created_at, list.id LIMIT :max_rows
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
        max_rows=MAX_ROWS,
    )


@cached
def comments(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """said, author, seen_in, created_at: remarks on a feature, seen in any run of its dictionary;
    the newest first."""
    return select(
        """
        SELECT said, author, comment.run AS seen_in, comment.created_at FROM lists.comment
        WHERE dictionary = (
            SELECT sae_set.fingerprint FROM atlas.run
            JOIN atlas.sae_set ON sae_set.id = run.sae_set_id WHERE run.id = :run_id
        ) AND layer = :layer AND feature = :feature
        ORDER BY comment.created_at DESC, comment.id DESC LIMIT :max_rows
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
        max_rows=MAX_ROWS,
    )
