"""What drives one feature, and what breaks without it or with more of it (5.2, 5.3)."""

import pandas as pd

from feature_atlas.dashboards.queries.database import cached, select
from feature_atlas.models.heads.corruption import CORRUPTIONS


@cached
def head_attributions(run_id: int, layer: int, feature: int, corruption: str) -> pd.DataFrame:
    """method, head_layer, head, score, qk_fix, q, k, v, z, standard_error, n_samples; evidence of
    view driving_head: causal, not confirmed, or screened; by further rules qk_relp, z_relp, qk_ig,
    z_ig, qk_grad_drop, z_grad_drop (NULL: not configured)."""
    return select(
        """
        SELECT method, head_layer, head, score, qk_fix, q, k, v, z, a.standard_error, a.n_samples,
               evidence, qk_relp, z_relp, qk_ig, z_ig, qk_grad_drop, z_grad_drop
        FROM atlas.head_attribution AS a
        JOIN atlas.driving_head AS d
            USING (run_id, layer, feature, corruption, method, head_layer, head)
        LEFT JOIN (
            SELECT run_id, layer, feature, corruption, method, head_layer, head,
                   max(qk) FILTER (WHERE rule = 'relp') AS qk_relp,
                   max(z) FILTER (WHERE rule = 'relp') AS z_relp,
                   max(qk) FILTER (WHERE rule = 'ig') AS qk_ig,
                   max(z) FILTER (WHERE rule = 'ig') AS z_ig,
                   max(qk) FILTER (WHERE rule = 'grad_drop') AS qk_grad_drop,
                   max(z) FILTER (WHERE rule = 'grad_drop') AS z_grad_drop
            FROM atlas.head_estimate
            WHERE run_id = :run_id AND layer = :layer AND feature = :feature
            GROUP BY run_id, layer, feature, corruption, method, head_layer, head
        ) AS further USING (run_id, layer, feature, corruption, method, head_layer, head)
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature
          AND corruption = :corruption
        ORDER BY method, head_layer, head
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
        corruption=corruption,
    )


@cached
def heads_in_short(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """head_layer, head, mean_drive (of both methods), is_causal, is_swapped; what drives the
    feature most comes first. Under the mean embedding, where that was a corruption of the run."""
    return select(
        """
        SELECT head_layer, head, max(mean_drive) AS mean_drive,
               bool_or(evidence = 'causal') AS is_causal,
               bool_or(evidence <> 'screened') AS is_swapped
        FROM atlas.driving_head
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature AND corruption = (
            SELECT corruption FROM atlas.head_attribution
            WHERE run_id = :run_id AND layer = :layer AND feature = :feature
            ORDER BY array_position(CAST(:known AS text[]), corruption) LIMIT 1
        )
        GROUP BY head_layer, head ORDER BY mean_drive DESC, head_layer, head
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
        known=list(CORRUPTIONS),
    )


@cached
def exact_effects(run_id: int, layer: int, feature: int, corruption: str) -> pd.DataFrame:
    """part, method, head_layer, head, drive, low, high, estimate, estimate_fix (all turned so that
    above 0 drives the feature), q_value, is_causal, why, n_samples; a row per swap."""
    return select(
        """
        SELECT part, method, head_layer, head, sign * effect AS drive,
               least(sign * effect_low, sign * effect_high) AS low,
               greatest(sign * effect_low, sign * effect_high) AS high,
               sign * estimate AS estimate, sign * estimate_fix AS estimate_fix,
               q_value, is_causal, why, n_samples
        FROM (SELECT *, CASE method WHEN 'A' THEN -1 ELSE 1 END::real AS sign
              FROM atlas.head_exact) AS swapped
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature
          AND corruption = :corruption
        ORDER BY sign * effect DESC, head_layer, head, part, method
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
        corruption=corruption,
    )


@cached
def head_knockouts(run_id: int, layer: int, feature: int, corruption: str) -> pd.DataFrame:
    """The view head_knockout_summary: a row per part that the heads take from the corrupt run."""
    return select(
        """
        SELECT * FROM atlas.head_knockout_summary
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature
          AND corruption = :corruption
        ORDER BY part
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
        corruption=corruption,
    )


@cached
def removal_in_short(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """At most one row: the view ablation_summary."""
    return select(
        """
        SELECT * FROM atlas.ablation_summary
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def interventions(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """intervention, evaluation, relation, n_samples, delta_accuracy, delta_low, delta_high,
    q_value, margin_delta, margin_low, margin_high, removed_norm; the feature alone."""
    return select(
        """
        SELECT intervention, evaluation, relation, n_samples, delta_accuracy, delta_low, delta_high,
               q_value, margin_delta, margin_low, margin_high, removed_norm
        FROM atlas.ablation
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature AND control_no = 0
        ORDER BY intervention <> 'directional', intervention, evaluation
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def groups_of(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """kind, name, place (the feature's, in order of removal), and of the view dose_response:
    evaluation, n_features, n_samples, delta_accuracy, delta_low, delta_high, q_value, n_controls,
    control_mean, control_min; a row per group, evaluation and dose."""
    return select(
        """
        SELECT kind, name, place, evaluation, n_features, n_samples, delta_accuracy, delta_low,
               delta_high, q_value, n_controls, control_mean, control_min
        FROM atlas.ablation_group_member AS member
        JOIN atlas.dose_response USING (run_id, kind, name)
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature AND control_no = 0
        ORDER BY kind, name, evaluation, n_features
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )


@cached
def steerings(run_id: int, layer: int, feature: int) -> pd.DataFrame:
    """evaluation, relation, alpha, length, n_samples, yes_margin_delta, yes_margin_delta_removed,
    margin_delta, margin_low, margin_high, delta_accuracy, delta_low, delta_high, q_value,
    yes_rate_before, yes_rate_after, mirror_correlation; by evaluation and strength."""
    return select(
        """
        SELECT evaluation, relation, alpha, length, n_samples, yes_margin_delta,
               yes_margin_delta_removed, margin_delta, margin_low, margin_high, delta_accuracy,
               delta_low, delta_high, q_value, yes_rate_before, yes_rate_after, mirror_correlation
        FROM atlas.steering
        WHERE run_id = :run_id AND layer = :layer AND feature = :feature
        ORDER BY evaluation DESC, alpha
        """,
        run_id=run_id,
        layer=layer,
        feature=feature,
    )
