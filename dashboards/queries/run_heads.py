"""Which heads drive the features of a run, and one head in all of them (5.2, C)."""

import pandas as pd

from feature_atlas.dashboards.queries.database import MAX_ROWS, cached, kept, select
from feature_atlas.models.heads.attribution_agreement import ESTIMATES
from feature_atlas.models.heads.corruption import CORRUPTIONS


@kept
def corruptions(run_id: int) -> pd.DataFrame:
    """corruption, n_features traced under it: what took pictures' place in this run; the mean
    embedding, the paper's, comes first."""
    return select(
        """
        SELECT corruption, count(DISTINCT (layer, feature)) AS n_features
        FROM atlas.head_attribution WHERE run_id = :run_id AND head_layer = 0 AND head = 0
        GROUP BY corruption ORDER BY array_position(CAST(:known AS text[]), corruption)
        """,
        run_id=run_id,
        known=list(CORRUPTIONS),
    )


@kept
def head_totals(run_id: int, corruption: str) -> pd.DataFrame:
    """method, head_layer, head; n_features traced to it; drive, drive_fix, drive_relp, drive_ig,
    drive_grad_drop, exact_drive (means over features, above 0 drives; NULL: not computed);
    n_in_top_five, n_patched, n_causal features."""
    return select(
        """
        SELECT method, head_layer, head, count(*) AS n_features, avg(drive) AS drive,
               avg(drive_fix) AS drive_fix, avg(drive_relp) AS drive_relp,
               avg(drive_ig) AS drive_ig, avg(drive_grad_drop) AS drive_grad_drop,
               avg(exact_drive) AS exact_drive,
               count(*) FILTER (WHERE place <= 5 AND drive > 0) AS n_in_top_five,
               count(*) FILTER (WHERE evidence <> 'screened') AS n_patched,
               count(*) FILTER (WHERE evidence = 'causal') AS n_causal
        FROM atlas.driving_head WHERE run_id = :run_id AND corruption = :corruption
        GROUP BY method, head_layer, head ORDER BY method, head_layer, head
        """,
        run_id=run_id,
        corruption=corruption,
    )


@kept
def head_curves(run_id: int, corruption: str) -> pd.DataFrame:
    """method, head_layer, n_features, sum_drive, mean_drive, sum_abs_score, mean_abs_score."""
    return select(
        """
        SELECT method, head_layer, n_features, sum_drive, mean_drive, sum_abs_score, mean_abs_score
        FROM atlas.head_layer_curve WHERE run_id = :run_id AND corruption = :corruption
        ORDER BY method, head_layer
        """,
        run_id=run_id,
        corruption=corruption,
    )


@kept
def head_recurrence(run_id: int, method: str, n_heads: int, corruption: str) -> pd.DataFrame:
    """grouped_by (all, relation, skill), name, head_layer, head, n_features, n_in_top_five, share;
    of the `n_heads` heads that are among the first five of most features."""
    return select(
        """
        SELECT grouped_by, name, head_layer, head, n_features, n_in_top_five, share
        FROM atlas.head_recurrence
        JOIN (
            SELECT head_layer, head, row_number() OVER (
                       ORDER BY n_in_top_five DESC, head_layer, head
                   ) AS place
            FROM atlas.head_recurrence
            WHERE run_id = :run_id AND corruption = :corruption AND method = :method
              AND grouped_by = 'all'
        ) AS most USING (head_layer, head)
        WHERE run_id = :run_id AND corruption = :corruption AND method = :method
          AND place <= :n_heads
        ORDER BY place, grouped_by, name
        """,
        run_id=run_id,
        method=method,
        n_heads=n_heads,
        corruption=corruption,
    )


@kept
def attribution_agreement(run_id: int) -> pd.DataFrame:
    """The view attribution_report, of every corruption: corruption, part, estimate, scope, place,
    pearson, spearman and top_overlap with their ends, sign_agreement, top_overlap_by_chance,
    n_passes, stable_spearman, wordings_spearman, n_features, n_pairs, n_samples, ..."""
    return select(
        """
        SELECT * FROM atlas.attribution_report WHERE run_id = :run_id
        ORDER BY array_position(CAST(:known AS text[]), corruption), part, scope,
                 array_position(CAST(:estimates AS text[]), estimate)
        """,
        run_id=run_id,
        known=list(CORRUPTIONS),
        estimates=list(ESTIMATES),
    )


@cached
def feature_agreement(run_id: int, corruption: str, part: str) -> pd.DataFrame:
    """At most `MAX_ROWS` rows, a feature and estimate each, the feature's best estimate first:
    layer, feature, label, estimate, spearman and top_overlap with their ends,
    top_overlap_by_chance, sign_agreement, n_passes, n_passes_exact, n_heads, n_samples."""
    return select(
        """
        SELECT layer, feature, label.label, estimate, spearman, spearman_low, spearman_high,
               top_overlap, top_overlap_low, top_overlap_high, top_overlap_by_chance,
               sign_agreement, n_passes, n_passes_exact, n_heads, n_samples
        FROM atlas.feature_agreement
        LEFT JOIN atlas.feature_label AS label USING (run_id, layer, feature)
        WHERE run_id = :run_id AND corruption = :corruption AND part = :part
        ORDER BY layer, feature, spearman DESC NULLS LAST, estimate
        """,
        run_id=run_id,
        corruption=corruption,
        part=part,
    )


@cached
def features_of_head(run_id: int, head_layer: int, head: int, corruption: str) -> pd.DataFrame:
    """At most `MAX_ROWS` rows, a feature and method each, the most driven feature first: layer,
    feature, label, method, drive, standard_error, place, drive_fix, exact_drive, exact_low,
    exact_high, exact_q_value, evidence, mean_drive (over methods)."""
    return select(
        """
        SELECT d.layer, d.feature, l.label, d.method, d.drive, d.standard_error, d.place,
               d.drive_fix, d.exact_drive, d.exact_low, d.exact_high, d.exact_q_value, d.evidence,
               d.mean_drive
        FROM atlas.driving_head AS d
        LEFT JOIN atlas.feature_label AS l USING (run_id, layer, feature)
        WHERE d.run_id = :run_id AND d.corruption = :corruption
          AND d.head_layer = :head_layer AND d.head = :head
        ORDER BY d.mean_drive DESC, d.layer, d.feature, d.method LIMIT :max_rows
        """,
        run_id=run_id,
        head_layer=head_layer,
        head=head,
        corruption=corruption,
        max_rows=MAX_ROWS,
    )


# pairs of feature and sample on which this head was drawn as one of the strongest
_DRAWN = """
    SELECT layer, feature, sample_id FROM atlas.overlay
    WHERE run_id = :run_id AND head_layer = :head_layer AND head = :head AND kind = 'top'
"""


@cached
def head_overlays(run_id: int, head_layer: int, head: int, n_samples: int) -> pd.DataFrame:
    """The columns of `overlays` with layer and feature before them: all heads that were drawn on
    the `n_samples` pairs of feature and sample that have this head among the strongest."""
    return select(
        f"""
        SELECT o.layer, o.feature, o.sample_id, s.question, s.answer, i.thumbnail, i.width,
               i.height, o.kind, o.method, o.head_layer, o.head, o.grid_rows, o.grid_columns,
               o.weights, o.image_mass, o.seen_left, o.seen_top, o.seen_right, o.seen_bottom,
               o.lift
        FROM atlas.overlay AS o
        JOIN (
            SELECT layer, feature, sample_id FROM ({_DRAWN}) AS every
            -- one sample of each feature before the second of any
            ORDER BY row_number() OVER (PARTITION BY layer, feature ORDER BY sample_id),
                     layer, feature
            LIMIT :n_samples
        ) AS drawn USING (layer, feature, sample_id)
        JOIN atlas.sample AS s ON s.id = o.sample_id
        JOIN atlas.image AS i ON i.id = s.image_id
        WHERE o.run_id = :run_id
        ORDER BY o.layer, o.feature, o.sample_id, o.head_layer, o.head
        """,
        run_id=run_id,
        head_layer=head_layer,
        head=head,
        n_samples=n_samples,
    )


@cached
def head_lifts(run_id: int, head_layer: int, head: int) -> pd.DataFrame:
    """who (this head, matched heads, weakest heads), n_maps, lift, low, high: mean lift with its
    95 % interval (normal, maps as independent), on the samples that have this head among the
    strongest and whose named objects are known."""
    return select(
        f"""
        SELECT who, n_maps, lift, lift - half AS low, lift + half AS high
        FROM (
            SELECT who, count(*) AS n_maps, avg(lift) AS lift,
                   1.96 * stddev_samp(lift) / sqrt(count(*)) AS half
            FROM atlas.overlay AS o
            JOIN ({_DRAWN}) AS drawn USING (layer, feature, sample_id)
            CROSS JOIN LATERAL (
                SELECT CASE
                    WHEN o.head_layer = :head_layer AND o.head = :head THEN 'this head'
                    WHEN o.kind = 'random' THEN 'matched heads'
                    WHEN o.kind = 'bottom' THEN 'weakest heads'
                END AS who
            ) AS named
            WHERE o.run_id = :run_id AND o.lift IS NOT NULL AND who IS NOT NULL
            GROUP BY who
        ) AS summed
        ORDER BY array_position('{{this head,matched heads,weakest heads}}'::text[], who)
        """,
        run_id=run_id,
        head_layer=head_layer,
        head=head,
    )


@cached
def knockouts_of_head(run_id: int, head_layer: int, head: int, corruption: str) -> pd.DataFrame:
    """layer, feature, label, part, control_no (0: with this head; its controls), relation, heads,
    n_samples, delta_accuracy, delta_low, delta_high, q_value, projection_before, projection_delta,
    projection_delta_low, projection_delta_high, image_mass: of features whose knock-out took this
    head."""
    return select(
        """
        SELECT k.layer, k.feature, l.label, k.part, k.control_no, k.relation, k.heads, k.n_samples,
               k.delta_accuracy, k.delta_low, k.delta_high, k.q_value, k.projection_before,
               k.projection_after - k.projection_before AS projection_delta,
               k.projection_delta_low, k.projection_delta_high, k.image_mass
        FROM atlas.head_knockout AS k
        LEFT JOIN atlas.feature_label AS l USING (run_id, layer, feature)
        WHERE k.run_id = :run_id AND k.corruption = :corruption AND EXISTS (
            SELECT FROM atlas.head_knockout AS own
            WHERE own.run_id = k.run_id AND own.layer = k.layer AND own.feature = k.feature
              AND own.part = k.part AND own.corruption = k.corruption AND own.control_no = 0
              AND :name = ANY (own.heads)
        )
        ORDER BY k.layer, k.feature, k.part, k.control_no
        """,
        run_id=run_id,
        name=f"L{head_layer}H{head}",
        corruption=corruption,
    )
