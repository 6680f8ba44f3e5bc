-- one row per removed feature, as in the paper's Table 2, with intervals and controls (5.3, D).
-- Deltas are after minus before as fractions; below 0: the removal hurts.
CREATE VIEW atlas.ablation_summary AS
SELECT
    vsr.run_id,
    vsr.layer,
    vsr.feature,
    vsr.relation,
    described.survives_spatial,
    described.label AS description,
    described.f1,
    vsr.n_samples,
    vsr.accuracy_before AS accuracy_vsr,
    vsr.delta_accuracy AS delta_vsr,
    vsr.delta_low AS delta_vsr_low,
    vsr.delta_high AS delta_vsr_high,
    vsr.mcnemar_p,
    vsr.q_value,
    vsr.probability_delta AS delta_vsr_probability,
    vsr.margin_delta AS delta_vsr_margin,
    control.n AS n_controls,
    control.mean AS control_mean,
    control.min AS control_min,
    control.max AS control_max,
    vqa.n_samples AS n_vqa,
    vqa.accuracy_before AS accuracy_vqa,
    vqa.delta_accuracy AS delta_vqa,
    vqa.delta_low AS delta_vqa_low,
    vqa.delta_high AS delta_vqa_high,
    described.vsr_odds_ratio AS odds_ratio,
    described.spatial_odds_ratio
FROM atlas.ablation AS vsr
LEFT JOIN (
    SELECT
        run_id,
        layer,
        feature,
        count(*) AS n,
        avg(delta_accuracy)::real AS mean,
        min(delta_accuracy) AS min,
        max(delta_accuracy) AS max
    FROM atlas.ablation
    WHERE evaluation = 'vsr_relation' AND control_no > 0
    GROUP BY run_id, layer, feature
) AS control USING (run_id, layer, feature)
LEFT JOIN atlas.ablation AS vqa
    ON vqa.run_id = vsr.run_id
    AND vqa.layer = vsr.layer
    AND vqa.feature = vsr.feature
    AND vqa.evaluation = 'vqa_yes_no'
    AND vqa.control_no = 0
LEFT JOIN atlas.feature_all_runs AS described
    ON described.run_id = vsr.run_id
    AND described.layer = vsr.layer
    AND described.feature = vsr.feature
WHERE vsr.evaluation = 'vsr_relation' AND vsr.control_no = 0;

COMMENT ON VIEW atlas.ablation_summary IS
    'one row per removed feature, as Table 2, with intervals and controls (5.3, D)';
