-- one row per run, corruption, method and layer of heads, over all traced features (5.2, Fig. 12).
-- The score is turned as in driving_head: above 0 drives the feature, whatever the method.
CREATE VIEW atlas.head_layer_curve AS
SELECT
    run_id,
    method,
    head_layer,
    count(*) AS n_features,
    avg(sum_drive) AS sum_drive,
    avg(mean_drive) AS mean_drive,
    avg(sum_abs_score) AS sum_abs_score,
    avg(mean_abs_score) AS mean_abs_score,
    corruption
FROM (
    SELECT
        run_id,
        corruption,
        method,
        head_layer,
        sum(CASE method WHEN 'A' THEN -score ELSE score END) AS sum_drive,
        avg(CASE method WHEN 'A' THEN -score ELSE score END) AS mean_drive,
        sum(abs(score)) AS sum_abs_score,
        avg(abs(score)) AS mean_abs_score
    FROM atlas.head_attribution
    GROUP BY run_id, corruption, method, head_layer, layer, feature
) AS of_feature
GROUP BY run_id, corruption, method, head_layer;

COMMENT ON VIEW atlas.head_layer_curve IS
    'head scores by layer of the head, mean over the traced features (5.2, Fig. 12)';
COMMENT ON COLUMN atlas.head_layer_curve.n_features IS
    'features traced to heads of this layer: those of the same layer and of later ones';
COMMENT ON COLUMN atlas.head_layer_curve.sum_drive IS
    'sum over the layer''s heads of -A or B, mean over features; above 0: drives them';
COMMENT ON COLUMN atlas.head_layer_curve.mean_drive IS
    'mean over the layer''s heads of -A or B, mean over features';
COMMENT ON COLUMN atlas.head_layer_curve.sum_abs_score IS
    'sum over the layer''s heads of |score|, mean over features';
COMMENT ON COLUMN atlas.head_layer_curve.mean_abs_score IS
    'mean over the layer''s heads of |score|, mean over features';
