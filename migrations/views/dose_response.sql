-- one row per group of features, set of questions and number of features removed together: the
-- strongest first, beside matched sets of as many (5.3)
CREATE VIEW atlas.dose_response AS
SELECT
    removed.run_id,
    removed.kind,
    removed.name,
    removed.evaluation,
    removed.n_features,
    removed.n_samples,
    removed.accuracy_before,
    removed.delta_accuracy,
    removed.delta_low,
    removed.delta_high,
    removed.q_value,
    removed.margin_delta,
    removed.balanced_accuracy_after,
    removed.yes_rate_after,
    removed.removed_norm,
    control.n AS n_controls,
    control.mean AS control_mean,
    control.min AS control_min,
    control.margin AS control_margin_delta,
    control.removed_norm AS control_removed_norm
FROM atlas.ablation_group AS removed
LEFT JOIN (
    SELECT
        run_id,
        kind,
        name,
        evaluation,
        n_features,
        count(*) AS n,
        avg(delta_accuracy)::real AS mean,
        min(delta_accuracy) AS min,
        avg(margin_delta)::real AS margin,
        avg(removed_norm)::real AS removed_norm
    FROM atlas.ablation_group
    WHERE control_no > 0
    GROUP BY run_id, kind, name, evaluation, n_features
) AS control USING (run_id, kind, name, evaluation, n_features)
WHERE removed.control_no = 0;

COMMENT ON VIEW atlas.dose_response IS
    'the more of a group''s features are removed together, the more is lost? (5.3)';
COMMENT ON COLUMN atlas.dose_response.n_controls IS
    'sets of as many matched features; none: the layers have no more of them';
COMMENT ON COLUMN atlas.dose_response.control_mean IS 'delta_accuracy of these sets, mean';
COMMENT ON COLUMN atlas.dose_response.control_min IS 'that of the set that hurts most';
COMMENT ON COLUMN atlas.dose_response.control_margin_delta IS 'margin_delta of these sets, mean';
COMMENT ON COLUMN atlas.dose_response.control_removed_norm IS 'removed_norm of these sets, mean';
