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
    vsr.control_p,
    at_random.mean AS random_control_mean,
    at_random.low AS random_control_low,
    at_random.high AS random_control_high,
    directions.mean AS direction_control_mean,
    vsr.interaction,
    vsr.interaction_low,
    vsr.interaction_high,
    other.delta_accuracy AS delta_other,
    other.delta_low AS delta_other_low,
    other.delta_high AS delta_other_high,
    vsr.detectable_delta,
    vsr.accuracy_mean_image,
    vsr.accuracy_no_image,
    vsr.probability_low AS delta_vsr_probability_low,
    vsr.probability_high AS delta_vsr_probability_high,
    vqa.n_samples AS n_vqa,
    vqa.accuracy_before AS accuracy_vqa,
    vqa.delta_accuracy AS delta_vqa,
    vqa.delta_low AS delta_vqa_low,
    vqa.delta_high AS delta_vqa_high,
    vqa.q_value AS q_value_vqa,
    described.vsr_odds_ratio AS odds_ratio,
    described.spatial_odds_ratio
FROM atlas.ablation AS vsr
LEFT JOIN atlas.ablation_control AS control
    ON control.run_id = vsr.run_id
    AND control.layer = vsr.layer
    AND control.feature = vsr.feature
    AND control.kind = 'matched'
LEFT JOIN atlas.ablation_control AS at_random
    ON at_random.run_id = vsr.run_id
    AND at_random.layer = vsr.layer
    AND at_random.feature = vsr.feature
    AND at_random.kind = 'random'
LEFT JOIN atlas.ablation_control AS directions
    ON directions.run_id = vsr.run_id
    AND directions.layer = vsr.layer
    AND directions.feature = vsr.feature
    AND directions.kind = 'direction'
LEFT JOIN atlas.ablation AS other
    ON other.run_id = vsr.run_id
    AND other.layer = vsr.layer
    AND other.feature = vsr.feature
    AND other.evaluation = 'vsr_other'
    AND other.intervention = 'directional'
    AND other.control_no = 0
LEFT JOIN atlas.ablation AS vqa
    ON vqa.run_id = vsr.run_id
    AND vqa.layer = vsr.layer
    AND vqa.feature = vsr.feature
    AND vqa.evaluation = 'vqa_yes_no'
    AND vqa.intervention = 'directional'
    AND vqa.control_no = 0
LEFT JOIN atlas.feature_all_runs AS described
    ON described.run_id = vsr.run_id
    AND described.layer = vsr.layer
    AND described.feature = vsr.feature
WHERE vsr.evaluation = 'vsr_relation'
    AND vsr.intervention = 'directional'
    AND vsr.control_no = 0;

COMMENT ON VIEW atlas.ablation_summary IS
    'one row per removed feature, as Table 2, with intervals and controls (5.3, D)';
COMMENT ON COLUMN atlas.ablation_summary.description IS
    'the feature''s label: a reviewer''s word, else its best description';
COMMENT ON COLUMN atlas.ablation_summary.n_samples IS
    'statements of the relation, each answered before and after';
COMMENT ON COLUMN atlas.ablation_summary.accuracy_vsr IS
    'share of these statements answered rightly, untouched';
COMMENT ON COLUMN atlas.ablation_summary.delta_vsr IS
    'accuracy on these statements, after minus before; below 0: the removal hurts';
COMMENT ON COLUMN atlas.ablation_summary.delta_vsr_low IS
    'lower end of its 95 % interval, bootstrap over images';
COMMENT ON COLUMN atlas.ablation_summary.delta_vsr_high IS
    'upper end of its 95 % interval, bootstrap over images';
COMMENT ON COLUMN atlas.ablation_summary.delta_vsr_probability IS
    'probability of the right answer, after minus before, mean over these statements';
COMMENT ON COLUMN atlas.ablation_summary.delta_vsr_margin IS
    'logit of the right answer over the wrong, after minus before, mean over these statements';
COMMENT ON COLUMN atlas.ablation_summary.n_controls IS
    'matched features of the layer that were removed instead, one at a time; none: no control';
COMMENT ON COLUMN atlas.ablation_summary.control_mean IS 'delta_vsr of the matched controls, mean';
COMMENT ON COLUMN atlas.ablation_summary.control_min IS
    'delta_vsr of the matched control that hurts most';
COMMENT ON COLUMN atlas.ablation_summary.control_max IS
    'delta_vsr of the matched control that hurts least';
COMMENT ON COLUMN atlas.ablation_summary.n_vqa IS
    'general yes/no questions, each answered before and after';
COMMENT ON COLUMN atlas.ablation_summary.accuracy_vqa IS
    'share of the general questions answered rightly, untouched';
COMMENT ON COLUMN atlas.ablation_summary.delta_vqa IS
    'accuracy on the general questions, after minus before';
COMMENT ON COLUMN atlas.ablation_summary.delta_vqa_low IS 'lower end of its 95 % interval';
COMMENT ON COLUMN atlas.ablation_summary.delta_vqa_high IS 'upper end of its 95 % interval';
COMMENT ON COLUMN atlas.ablation_summary.odds_ratio IS
    'odds of firing, VSR statements over VQA questions; the paper''s VSR OR (5.3)';
COMMENT ON COLUMN atlas.ablation_summary.random_control_mean IS
    'delta_vsr of features drawn uniformly from the layer, mean: the paper''s control';
COMMENT ON COLUMN atlas.ablation_summary.random_control_low IS
    'lower end of its 95 % interval over these features';
COMMENT ON COLUMN atlas.ablation_summary.random_control_high IS
    'upper end of its 95 % interval over these features';
COMMENT ON COLUMN atlas.ablation_summary.direction_control_mean IS
    'delta_vsr of random directions, as much variance removed, mean';
COMMENT ON COLUMN atlas.ablation_summary.delta_other IS
    'accuracy on test statements of other relations, after minus before';
COMMENT ON COLUMN atlas.ablation_summary.delta_other_low IS 'lower end of its 95 % interval';
COMMENT ON COLUMN atlas.ablation_summary.delta_other_high IS 'upper end of its 95 % interval';
COMMENT ON COLUMN atlas.ablation_summary.delta_vsr_probability_low IS
    'lower end of its 95 % interval, bootstrap over images';
COMMENT ON COLUMN atlas.ablation_summary.delta_vsr_probability_high IS
    'upper end of its 95 % interval, bootstrap over images';
COMMENT ON COLUMN atlas.ablation_summary.q_value_vqa IS
    'q value of delta_vqa: exact McNemar, Benjamini-Hochberg over the run''s ablated features';
COMMENT ON COLUMN atlas.ablation_summary.q_value IS
    'q value of delta_vsr: exact McNemar, Benjamini-Hochberg over the run''s ablated features';
COMMENT ON COLUMN atlas.ablation_summary.mcnemar_p IS 'exact McNemar p of delta_vsr';
