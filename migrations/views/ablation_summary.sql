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
COMMENT ON COLUMN atlas.ablation_summary.description IS
    'the feature''s label: a reviewer''s word, else the description with the best F1';
COMMENT ON COLUMN atlas.ablation_summary.n_samples IS
    'statements of the relation, each answered before and after';
COMMENT ON COLUMN atlas.ablation_summary.accuracy_vsr IS
    'share of these statements answered rightly, untouched';
COMMENT ON COLUMN atlas.ablation_summary.delta_vsr IS
    'accuracy on these statements, after minus before, as a fraction; below 0: the removal hurts';
COMMENT ON COLUMN atlas.ablation_summary.delta_vsr_low IS
    'lower end of its 95 % interval, bootstrap over images';
COMMENT ON COLUMN atlas.ablation_summary.delta_vsr_high IS
    'upper end of its 95 % interval, bootstrap over images';
COMMENT ON COLUMN atlas.ablation_summary.delta_vsr_probability IS
    'probability of the right answer, after minus before, mean over these statements';
COMMENT ON COLUMN atlas.ablation_summary.delta_vsr_margin IS
    'logit of the right answer over the wrong, after minus before, mean over these statements';
COMMENT ON COLUMN atlas.ablation_summary.n_controls IS
    'random features of the layer that were removed instead, one at a time; none: no control';
COMMENT ON COLUMN atlas.ablation_summary.control_mean IS 'delta_vsr of the controls, mean';
COMMENT ON COLUMN atlas.ablation_summary.control_min IS
    'delta_vsr of the control that hurts most';
COMMENT ON COLUMN atlas.ablation_summary.control_max IS
    'delta_vsr of the control that hurts least';
COMMENT ON COLUMN atlas.ablation_summary.n_vqa IS
    'general yes/no questions, each answered before and after';
COMMENT ON COLUMN atlas.ablation_summary.accuracy_vqa IS
    'share of the general questions answered rightly, untouched';
COMMENT ON COLUMN atlas.ablation_summary.delta_vqa IS
    'accuracy on the general questions, after minus before, as a fraction';
COMMENT ON COLUMN atlas.ablation_summary.delta_vqa_low IS 'lower end of its 95 % interval';
COMMENT ON COLUMN atlas.ablation_summary.delta_vqa_high IS 'upper end of its 95 % interval';
COMMENT ON COLUMN atlas.ablation_summary.odds_ratio IS
    'odds of firing, VSR statements over VQA questions; the paper''s VSR OR (5.3)';
