-- one row per removed feature and kind of control, on statements of the feature's relation (5.3, D).
-- Rows from before controls had kinds are matched ones.
CREATE VIEW atlas.ablation_control AS
SELECT
    run_id,
    layer,
    feature,
    coalesce(control_kind, 'matched') AS kind,
    count(*) AS n,
    avg(delta_accuracy)::real AS mean,
    (avg(delta_accuracy) - 1.96 * stddev_samp(delta_accuracy) / sqrt(count(*)))::real AS low,
    (avg(delta_accuracy) + 1.96 * stddev_samp(delta_accuracy) / sqrt(count(*)))::real AS high,
    min(delta_accuracy) AS min,
    max(delta_accuracy) AS max,
    avg(removed_norm)::real AS removed_norm
FROM atlas.ablation
WHERE evaluation = 'vsr_relation' AND intervention = 'directional' AND control_no > 0
GROUP BY run_id, layer, feature, coalesce(control_kind, 'matched');

COMMENT ON VIEW atlas.ablation_control IS
    'controls of each removed feature by kind, on statements of its relation (5.3, D)';
COMMENT ON COLUMN atlas.ablation_control.kind IS
    'matched: features that fire as often and project as much; random: any features of the layer, '
    'the paper''s; direction: random directions, as much variance removed';
COMMENT ON COLUMN atlas.ablation_control.n IS 'controls of this kind, removed one at a time';
COMMENT ON COLUMN atlas.ablation_control.mean IS
    'change of accuracy, after minus before, mean over these controls';
COMMENT ON COLUMN atlas.ablation_control.low IS
    'lower end of the mean''s 95 % interval over these controls; none: only one';
COMMENT ON COLUMN atlas.ablation_control.high IS 'upper end of that interval';
COMMENT ON COLUMN atlas.ablation_control.min IS 'the control that hurts most';
COMMENT ON COLUMN atlas.ablation_control.max IS 'the control that hurts least';
COMMENT ON COLUMN atlas.ablation_control.removed_norm IS
    'length of what was removed over length of the residual, mean over tokens and controls';
