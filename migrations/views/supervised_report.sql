-- one row per direction removed for a relation: the features that were found without labels, and
-- what labels find, on the same held-out statements (beside 5.3)
CREATE VIEW atlas.supervised_report AS
SELECT
    feature.run_id,
    feature.relation,
    'feature' AS found_by,
    NULL AS contrast,
    feature.layer,
    feature.feature,
    NULL::real AS nearest_cosine,
    feature.n_samples,
    feature.accuracy_vsr AS accuracy_before,
    feature.delta_vsr AS delta_accuracy,
    feature.delta_vsr_low AS delta_low,
    feature.delta_vsr_high AS delta_high,
    feature.q_value,
    feature.delta_other,
    feature.delta_other_low,
    feature.delta_other_high,
    feature.interaction,
    feature.interaction_low,
    feature.interaction_high,
    feature.n_vqa,
    feature.delta_vqa,
    feature.delta_vqa_low,
    feature.delta_vqa_high,
    feature.control_mean,
    feature.control_min,
    feature.control_p,
    feature.direction_control_mean,
    removed.removed_norm,
    NULL::real AS delta_less_feature,
    NULL::real AS delta_less_feature_low,
    NULL::real AS delta_less_feature_high,
    NULL::real AS auc_held_out,
    steered.yes_margin_slope
FROM atlas.ablation_summary AS feature
JOIN (SELECT DISTINCT run_id, relation FROM atlas.supervised_direction) AS asked
    USING (run_id, relation)
JOIN (
    SELECT run_id, layer, feature, removed_norm
    FROM atlas.ablation
    WHERE evaluation = 'vsr_relation' AND intervention = 'directional' AND control_no = 0
) AS removed USING (run_id, layer, feature)
LEFT JOIN (
    SELECT run_id, layer, feature, yes_margin_slope
    FROM atlas.steering_summary
    WHERE evaluation = 'vsr_relation'
) AS steered USING (run_id, layer, feature)
UNION ALL
SELECT
    found.run_id,
    found.relation,
    found.method,
    found.contrast,
    found.layer,
    found.nearest_feature,
    found.nearest_cosine,
    own.n_samples,
    own.accuracy_before,
    own.delta_accuracy,
    own.delta_low,
    own.delta_high,
    own.q_value,
    other.delta_accuracy,
    other.delta_low,
    other.delta_high,
    own.interaction,
    own.interaction_low,
    own.interaction_high,
    general.n_samples,
    general.delta_accuracy,
    general.delta_low,
    general.delta_high,
    control.shuffled,
    control.shuffled_min,
    own.control_p,
    control.direction,
    own.removed_norm,
    own.delta_less_feature,
    own.delta_less_feature_low,
    own.delta_less_feature_high,
    found.auc_held_out,
    steered.slope
FROM atlas.supervised_direction AS found
JOIN (
    SELECT * FROM atlas.supervised_ablation WHERE evaluation = 'vsr_relation' AND control_no = 0
) AS own USING (run_id, relation, contrast, method)
LEFT JOIN (
    SELECT * FROM atlas.supervised_ablation WHERE evaluation = 'vsr_other' AND control_no = 0
) AS other USING (run_id, relation, contrast, method)
LEFT JOIN (
    SELECT * FROM atlas.supervised_ablation WHERE evaluation = 'vqa_yes_no' AND control_no = 0
) AS general USING (run_id, relation, contrast, method)
LEFT JOIN (
    SELECT
        run_id,
        relation,
        contrast,
        method,
        (avg(delta_accuracy) FILTER (WHERE control_kind = 'shuffled'))::real AS shuffled,
        min(delta_accuracy) FILTER (WHERE control_kind = 'shuffled') AS shuffled_min,
        (avg(delta_accuracy) FILTER (WHERE control_kind = 'direction'))::real AS direction
    FROM atlas.supervised_ablation
    WHERE evaluation = 'vsr_relation' AND control_no > 0
    GROUP BY run_id, relation, contrast, method
) AS control USING (run_id, relation, contrast, method)
LEFT JOIN (
    SELECT run_id, relation, contrast, method, regr_slope(yes_margin_delta, alpha) AS slope
    FROM atlas.supervised_steering
    GROUP BY run_id, relation, contrast, method
) AS steered USING (run_id, relation, contrast, method);

COMMENT ON VIEW atlas.supervised_report IS
    'removed features beside directions that labels find, by relation (beside 5.3)';
COMMENT ON COLUMN atlas.supervised_report.relation IS 'spatial relation of the statements';
COMMENT ON COLUMN atlas.supervised_report.found_by IS
    'feature: a removed feature whose top statements have the relation, found without labels; '
    'diff_mean, probe: from labels, as in supervised_direction';
COMMENT ON COLUMN atlas.supervised_report.contrast IS
    'which training statements were told apart, as in supervised_direction; none: a feature';
COMMENT ON COLUMN atlas.supervised_report.feature IS
    'the feature, or the one of the layer whose direction is nearest to that found from labels';
COMMENT ON COLUMN atlas.supervised_report.nearest_cosine IS
    'cosine with that feature''s direction; none: it is the feature';
COMMENT ON COLUMN atlas.supervised_report.n_samples IS
    'held-out statements of the relation, each answered before and after';
COMMENT ON COLUMN atlas.supervised_report.accuracy_before IS
    'share of these statements answered rightly, untouched';
COMMENT ON COLUMN atlas.supervised_report.delta_accuracy IS
    'accuracy on these statements, removed minus untouched; below 0: the removal hurts';
COMMENT ON COLUMN atlas.supervised_report.delta_low IS
    'lower end of its 95 % interval, bootstrap over images';
COMMENT ON COLUMN atlas.supervised_report.delta_high IS
    'upper end of its 95 % interval, bootstrap over images';
COMMENT ON COLUMN atlas.supervised_report.q_value IS
    'exact McNemar p of delta_accuracy after Benjamini-Hochberg, over features or over directions';
COMMENT ON COLUMN atlas.supervised_report.delta_other IS
    'accuracy on held-out statements of other relations, removed minus untouched';
COMMENT ON COLUMN atlas.supervised_report.delta_other_low IS 'lower end of its 95 % interval';
COMMENT ON COLUMN atlas.supervised_report.delta_other_high IS 'upper end of its 95 % interval';
COMMENT ON COLUMN atlas.supervised_report.interaction IS
    'delta_accuracy less delta_other; below 0: specific to the relation';
COMMENT ON COLUMN atlas.supervised_report.interaction_low IS 'lower end of its 95 % interval';
COMMENT ON COLUMN atlas.supervised_report.interaction_high IS 'upper end of its 95 % interval';
COMMENT ON COLUMN atlas.supervised_report.n_vqa IS
    'general yes/no questions, each answered before and after';
COMMENT ON COLUMN atlas.supervised_report.delta_vqa IS
    'accuracy on the general questions, removed minus untouched';
COMMENT ON COLUMN atlas.supervised_report.delta_vqa_low IS 'lower end of its 95 % interval';
COMMENT ON COLUMN atlas.supervised_report.delta_vqa_high IS 'upper end of its 95 % interval';
COMMENT ON COLUMN atlas.supervised_report.control_mean IS
    'delta_accuracy of controls, mean: of a feature matched features, of a supervised direction '
    'those found from shuffled labels';
COMMENT ON COLUMN atlas.supervised_report.control_min IS 'that of the control that hurts most';
COMMENT ON COLUMN atlas.supervised_report.control_p IS
    'share of the controls (of a supervised direction, random ones too) that hurt as much or more, '
    'it counted in';
COMMENT ON COLUMN atlas.supervised_report.direction_control_mean IS
    'delta_accuracy of random directions, as much variance removed, mean';
COMMENT ON COLUMN atlas.supervised_report.removed_norm IS
    'length of what was removed over length of the residual, mean over tokens';
COMMENT ON COLUMN atlas.supervised_report.delta_less_feature IS
    'delta_accuracy less that of the relation''s feature that costs most on training statements, '
    'paired by question; below 0: the supervised direction breaks more; none: a feature';
COMMENT ON COLUMN atlas.supervised_report.delta_less_feature_low IS
    'lower end of its 95 % interval, bootstrap over images';
COMMENT ON COLUMN atlas.supervised_report.delta_less_feature_high IS
    'upper end of its 95 % interval';
COMMENT ON COLUMN atlas.supervised_report.auc_held_out IS
    'how well the direction tells held-out statements of its contrast apart; 0.5: not at all; '
    'none: a feature';
COMMENT ON COLUMN atlas.supervised_report.yes_margin_slope IS
    'change of the mean logit of yes over no per strength, least squares: of a feature in its mean '
    'activation, of a supervised direction in standard deviations; none: not added';
