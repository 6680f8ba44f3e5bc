"""What readers keep: their lists, the features in one, and what they say of a feature."""

import pandas as pd

from feature_atlas.dashboards.queries.database import MAX_ROWS, cached, select
from feature_atlas.models.lists.listing import LISTED


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
    """`LISTED`: the features of a list from the place `first` on, with the numbers of a run."""
    return select(
        LISTED,
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
