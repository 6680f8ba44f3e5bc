-- one row per steered feature and set of questions: does adding its direction undo what removing it
-- does? (5.3)
CREATE VIEW atlas.steering_summary AS
SELECT
    run_id,
    layer,
    feature,
    evaluation,
    relation,
    count(*) AS n_strengths,
    min(alpha) AS min_alpha,
    max(alpha) AS max_alpha,
    regr_slope(yes_margin_delta, alpha) AS yes_margin_slope,
    min(yes_margin_delta_removed) AS yes_margin_delta_removed,
    avg(mirror_correlation) FILTER (WHERE alpha > 0) AS mirror_correlation,
    regr_slope(yes_margin_delta, alpha) * min(yes_margin_delta_removed) < 0 AS is_mirror,
    min(delta_accuracy) AS worst_delta_accuracy,
    max(yes_rate_after) - min(yes_rate_after) AS yes_rate_range
FROM atlas.steering
GROUP BY run_id, layer, feature, evaluation, relation;

COMMENT ON VIEW atlas.steering_summary IS
    'whether adding a feature''s direction is the mirror of its removal (5.3)';
COMMENT ON COLUMN atlas.steering_summary.n_strengths IS 'strengths tried';
COMMENT ON COLUMN atlas.steering_summary.min_alpha IS
    'the weakest, in the feature''s mean activation where it fires; below 0: subtracted';
COMMENT ON COLUMN atlas.steering_summary.max_alpha IS 'the strongest';
COMMENT ON COLUMN atlas.steering_summary.yes_margin_slope IS
    'change of the mean logit of yes over no per unit of alpha, least squares';
COMMENT ON COLUMN atlas.steering_summary.mirror_correlation IS
    'over questions, of the margin''s change by adding (alpha above 0, mean) and by removing; about '
    '0: adding moves other questions than those that have the direction already';
COMMENT ON COLUMN atlas.steering_summary.is_mirror IS
    'yes_margin_slope and yes_margin_delta_removed differ in sign: what removing lowers on the '
    'whole, adding raises';
COMMENT ON COLUMN atlas.steering_summary.worst_delta_accuracy IS
    'largest loss of accuracy over the strengths';
COMMENT ON COLUMN atlas.steering_summary.yes_rate_range IS
    'highest minus lowest share of yes over the strengths: how far it pushes answers';
