"""Features removed together, added, or removed in another way (5.3)."""

import pandas as pd

from feature_atlas.dashboards.queries.database import cached, kept, select


@kept
def dose_responses(run_id: int) -> pd.DataFrame:
    """The view dose_response: a row per group (kind, name), set of questions and number of features
    removed together; layers in order, then relations."""
    return select(
        """
        SELECT * FROM atlas.dose_response WHERE run_id = :run_id
        ORDER BY kind, length(name), name, evaluation, n_features
        """,
        run_id=run_id,
    )


@kept
def group_removals(run_id: int, kind: str, name: str) -> pd.DataFrame:
    """evaluation, n_features, control_no (0: the group, else matched sets of as many), n_samples,
    accuracy_before, delta_accuracy, delta_low, delta_high, q_value, margin_delta, removed_norm."""
    return select(
        """
        SELECT evaluation, n_features, control_no, n_samples, accuracy_before, delta_accuracy,
               delta_low, delta_high, q_value, margin_delta, removed_norm
        FROM atlas.ablation_group WHERE run_id = :run_id AND kind = :kind AND name = :name
        ORDER BY evaluation DESC, control_no, n_features
        """,
        run_id=run_id,
        kind=kind,
        name=name,
    )


@cached
def group_members(run_id: int, kind: str, name: str) -> pd.DataFrame:
    """place (1: removed first), layer, feature, label of the group itself."""
    return select(
        """
        SELECT m.place, m.layer, m.feature, l.label
        FROM atlas.ablation_group_member AS m
        LEFT JOIN atlas.feature_label AS l USING (run_id, layer, feature)
        WHERE m.run_id = :run_id AND m.kind = :kind AND m.name = :name AND m.control_no = 0
        ORDER BY m.place
        """,
        run_id=run_id,
        kind=kind,
        name=name,
    )


@cached
def steering_summaries(run_id: int) -> pd.DataFrame:
    """The view steering_summary with label: a row per steered feature and set of questions."""
    return select(
        """
        SELECT s.*, l.label
        FROM atlas.steering_summary AS s
        LEFT JOIN atlas.feature_label AS l USING (run_id, layer, feature)
        WHERE s.run_id = :run_id ORDER BY s.layer, s.feature, s.evaluation DESC
        """,
        run_id=run_id,
    )


@cached
def other_interventions(run_id: int) -> pd.DataFrame:
    """layer, feature, label, relation, evaluation, intervention, n_samples, accuracy_before,
    delta_accuracy, delta_low, delta_high, q_value, removed_norm, and control_mean, control_min,
    control_max of the directional removal's matched controls: features that were removed in more
    ways than one."""
    return select(
        """
        SELECT a.layer, a.feature, l.label, a.relation, a.evaluation, a.intervention, a.n_samples,
               a.accuracy_before, a.delta_accuracy, a.delta_low, a.delta_high, a.q_value,
               a.removed_norm, c.mean AS control_mean, c.min AS control_min, c.max AS control_max
        FROM atlas.ablation AS a
        LEFT JOIN atlas.feature_label AS l USING (run_id, layer, feature)
        LEFT JOIN atlas.ablation_control AS c
            ON c.run_id = a.run_id AND c.layer = a.layer AND c.feature = a.feature
            AND c.kind = 'matched' AND a.intervention = 'directional'
            AND a.evaluation = 'vsr_relation'
        WHERE a.run_id = :run_id AND a.control_no = 0 AND EXISTS (
            SELECT FROM atlas.ablation AS other
            WHERE other.run_id = a.run_id AND other.layer = a.layer AND other.feature = a.feature
              AND other.evaluation = a.evaluation AND other.intervention <> 'directional'
        )
        ORDER BY a.layer, a.feature, a.evaluation DESC, a.intervention
        """,
        run_id=run_id,
    )
