-- one row per feature whose strongest heads were knocked out, beside its controls: the chain from
-- heads to feature to behaviour (5.2, 5.3). Deltas are after minus before; below 0: it loses.
CREATE VIEW atlas.head_knockout_summary AS
SELECT
    own.run_id,
    own.layer,
    own.feature,
    own.part,
    own.relation,
    own.heads,
    own.n_samples,
    own.image_mass,
    own.projection_before,
    own.projection_after - own.projection_before AS projection_delta,
    own.projection_delta_low,
    own.projection_delta_high,
    own.projection_corrupt - own.projection_before AS projection_delta_corrupt,
    control.projection AS control_projection_delta,
    own.activation_before,
    own.activation_after,
    own.activation_corrupt,
    control.activation AS control_activation_after,
    own.accuracy_before,
    own.delta_accuracy,
    own.delta_low,
    own.delta_high,
    own.mcnemar_p,
    own.q_value,
    own.margin_delta,
    control.n AS n_controls,
    control.accuracy AS control_mean,
    control.worst AS control_min,
    control.best AS control_max,
    control.mass AS control_image_mass,
    own.corruption
FROM atlas.head_knockout AS own
LEFT JOIN (
    SELECT
        run_id,
        layer,
        feature,
        part,
        corruption,
        count(*) AS n,
        avg(delta_accuracy)::real AS accuracy,
        min(delta_accuracy) AS worst,
        max(delta_accuracy) AS best,
        avg(projection_after - projection_before)::real AS projection,
        avg(activation_after)::real AS activation,
        avg(image_mass)::real AS mass
    FROM atlas.head_knockout
    WHERE control_no > 0
    GROUP BY run_id, layer, feature, part, corruption
) AS control USING (run_id, layer, feature, part, corruption)
WHERE own.control_no = 0;

COMMENT ON VIEW atlas.head_knockout_summary IS
    'what knocking out a feature''s heads does, beside matched random heads (5.2, 5.3)';
COMMENT ON COLUMN atlas.head_knockout_summary.projection_delta IS
    'change of the projection on the feature''s direction, mean over text tokens';
COMMENT ON COLUMN atlas.head_knockout_summary.projection_delta_low IS
    'lower end of its 95 % interval, bootstrap over images';
COMMENT ON COLUMN atlas.head_knockout_summary.projection_delta_high IS
    'upper end of its 95 % interval, bootstrap over images';
COMMENT ON COLUMN atlas.head_knockout_summary.projection_delta_corrupt IS
    'the same change in the corrupt run, the whole picture replaced: what there is to lose';
COMMENT ON COLUMN atlas.head_knockout_summary.control_projection_delta IS
    'projection_delta of the controls, mean';
COMMENT ON COLUMN atlas.head_knockout_summary.activation_after IS
    'the feature''s activation with these heads knocked out, mean over text tokens';
COMMENT ON COLUMN atlas.head_knockout_summary.activation_corrupt IS
    'the feature''s activation in the corrupt run, mean over text tokens';
COMMENT ON COLUMN atlas.head_knockout_summary.control_activation_after IS
    'activation_after of the controls, mean';
COMMENT ON COLUMN atlas.head_knockout_summary.n_controls IS
    'sets of random heads that were knocked out instead; none: no control';
COMMENT ON COLUMN atlas.head_knockout_summary.control_mean IS
    'delta_accuracy of the controls, mean';
COMMENT ON COLUMN atlas.head_knockout_summary.control_min IS
    'delta_accuracy of the control that hurts most';
COMMENT ON COLUMN atlas.head_knockout_summary.control_max IS
    'delta_accuracy of the control that hurts least';
COMMENT ON COLUMN atlas.head_knockout_summary.control_image_mass IS
    'image_mass of the controls, mean; near image_mass: they are matched';
