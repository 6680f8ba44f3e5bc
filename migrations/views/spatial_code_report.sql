-- one row per feature removed beside its layer's linear code of places: is its effect the code's?
-- (beside 5.3)
CREATE VIEW atlas.spatial_code_report AS
SELECT
    feature.run_id,
    feature.layer,
    feature.feature,
    feature.relation,
    feature.n_samples,
    feature.accuracy_before,
    feature.code_share,
    code.r2_x,
    code.r2_y,
    code.r2_x_erased,
    code.r2_y_erased,
    feature.delta_accuracy AS delta_feature,
    feature.delta_low AS delta_feature_low,
    feature.delta_high AS delta_feature_high,
    outside.delta_accuracy AS delta_outside,
    alone.delta_accuracy AS delta_code,
    alone.delta_low AS delta_code_low,
    alone.delta_high AS delta_code_high,
    both_of.delta_accuracy AS delta_both,
    outside.remaining_accuracy AS outside_accuracy,
    outside.remaining_accuracy_low AS outside_accuracy_low,
    outside.remaining_accuracy_high AS outside_accuracy_high,
    outside.remaining_margin AS outside_margin,
    outside.remaining_margin_low AS outside_margin_low,
    outside.remaining_margin_high AS outside_margin_high,
    both_of.remaining_accuracy,
    both_of.remaining_accuracy_low,
    both_of.remaining_accuracy_high,
    both_of.remaining_margin,
    both_of.remaining_margin_low,
    both_of.remaining_margin_high,
    shuffled.n AS n_shuffled,
    shuffled.delta_code AS delta_shuffled_code,
    shuffled.remaining_accuracy AS shuffled_accuracy,
    shuffled.remaining_margin AS shuffled_margin
FROM atlas.spatial_code_ablation AS feature
JOIN atlas.spatial_code AS code
    ON code.run_id = feature.run_id AND code.layer = feature.layer
JOIN atlas.spatial_code_ablation AS outside
    ON outside.run_id = feature.run_id
    AND outside.layer = feature.layer
    AND outside.feature = feature.feature
    AND outside.removed = 'outside'
    AND outside.control_no = 0
JOIN atlas.spatial_code_ablation AS alone
    ON alone.run_id = feature.run_id
    AND alone.layer = feature.layer
    AND alone.feature = feature.feature
    AND alone.removed = 'code'
    AND alone.control_no = 0
JOIN atlas.spatial_code_ablation AS both_of
    ON both_of.run_id = feature.run_id
    AND both_of.layer = feature.layer
    AND both_of.feature = feature.feature
    AND both_of.removed = 'both'
    AND both_of.control_no = 0
LEFT JOIN (
    SELECT
        run_id,
        layer,
        feature,
        count(*) FILTER (WHERE removed = 'both') AS n,
        (avg(delta_accuracy) FILTER (WHERE removed = 'code'))::real AS delta_code,
        (avg(remaining_accuracy) FILTER (WHERE removed = 'both'))::real AS remaining_accuracy,
        (avg(remaining_margin) FILTER (WHERE removed = 'both'))::real AS remaining_margin
    FROM atlas.spatial_code_ablation
    WHERE control_no > 0
    GROUP BY run_id, layer, feature
) AS shuffled
    ON shuffled.run_id = feature.run_id
    AND shuffled.layer = feature.layer
    AND shuffled.feature = feature.feature
WHERE feature.removed = 'feature' AND feature.control_no = 0;

COMMENT ON VIEW atlas.spatial_code_report IS
    'whether a feature''s effect is that of its layer''s linear code of places (beside 5.3)';
COMMENT ON COLUMN atlas.spatial_code_report.n_samples IS
    'held-out statements of the relation, each answered before and after';
COMMENT ON COLUMN atlas.spatial_code_report.accuracy_before IS
    'share of these statements answered rightly, untouched';
COMMENT ON COLUMN atlas.spatial_code_report.delta_feature IS
    'accuracy without the feature''s direction, less untouched; below 0: the removal hurts';
COMMENT ON COLUMN atlas.spatial_code_report.delta_feature_low IS
    'lower end of its 95 % interval, bootstrap over images';
COMMENT ON COLUMN atlas.spatial_code_report.delta_feature_high IS 'upper end of its 95 % interval';
COMMENT ON COLUMN atlas.spatial_code_report.delta_outside IS
    'the same without what of the direction is orthogonal to the code';
COMMENT ON COLUMN atlas.spatial_code_report.delta_code IS 'the same without the code';
COMMENT ON COLUMN atlas.spatial_code_report.delta_code_low IS
    'lower end of its 95 % interval, bootstrap over images';
COMMENT ON COLUMN atlas.spatial_code_report.delta_code_high IS 'upper end of its 95 % interval';
COMMENT ON COLUMN atlas.spatial_code_report.delta_both IS 'the same without code and feature';
COMMENT ON COLUMN atlas.spatial_code_report.outside_accuracy IS
    'delta_outside over delta_feature; 1: the code in the direction adds nothing; none: the '
    'interval of delta_feature holds 0';
COMMENT ON COLUMN atlas.spatial_code_report.outside_accuracy_low IS
    'lower end of its 95 % interval, paired, bootstrap over images';
COMMENT ON COLUMN atlas.spatial_code_report.outside_accuracy_high IS
    'upper end of its 95 % interval';
COMMENT ON COLUMN atlas.spatial_code_report.outside_margin IS
    'the same of the logit of the right answer over the wrong';
COMMENT ON COLUMN atlas.spatial_code_report.outside_margin_low IS
    'lower end of its 95 % interval, paired, bootstrap over images';
COMMENT ON COLUMN atlas.spatial_code_report.outside_margin_high IS
    'upper end of its 95 % interval';
COMMENT ON COLUMN atlas.spatial_code_report.remaining_accuracy IS
    '(delta_both less delta_code) over delta_feature: what is left of the effect once the code is '
    'gone; 1: all of it, 0: nothing; none: the interval of delta_feature holds 0';
COMMENT ON COLUMN atlas.spatial_code_report.remaining_accuracy_low IS
    'lower end of its 95 % interval, paired, bootstrap over images';
COMMENT ON COLUMN atlas.spatial_code_report.remaining_accuracy_high IS
    'upper end of its 95 % interval';
COMMENT ON COLUMN atlas.spatial_code_report.remaining_margin IS
    'the same of the logit of the right answer over the wrong';
COMMENT ON COLUMN atlas.spatial_code_report.remaining_margin_low IS
    'lower end of its 95 % interval, paired, bootstrap over images';
COMMENT ON COLUMN atlas.spatial_code_report.remaining_margin_high IS
    'upper end of its 95 % interval';
COMMENT ON COLUMN atlas.spatial_code_report.n_shuffled IS
    'controls: codes made of places that were dealt out anew';
COMMENT ON COLUMN atlas.spatial_code_report.delta_shuffled_code IS 'their delta_code, mean';
COMMENT ON COLUMN atlas.spatial_code_report.shuffled_accuracy IS
    'their remaining_accuracy, mean: what is left when another two directions are gone';
COMMENT ON COLUMN atlas.spatial_code_report.shuffled_margin IS 'their remaining_margin, mean';
