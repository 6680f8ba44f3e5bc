-- one row per traced feature, method and head (5.2). A head helps where method A is negative and
-- method B positive, so A is turned round here: above 0 drives the feature, whatever the method.
CREATE VIEW atlas.driving_head AS
SELECT
    run_id,
    layer,
    feature,
    method,
    head_layer,
    head,
    drive,
    standard_error,
    rank() OVER (PARTITION BY run_id, method, layer, feature ORDER BY drive DESC) AS place,
    n_samples
FROM (
    SELECT *, CASE method WHEN 'A' THEN -score ELSE score END AS drive
    FROM atlas.head_attribution
) AS turned;

COMMENT ON VIEW atlas.driving_head IS
    'how strongly a head drives a traced feature, both methods turned the same way (5.2)';
COMMENT ON COLUMN atlas.driving_head.drive IS
    'score of method B, or minus that of A, raw residual units; above 0: drives the feature';
COMMENT ON COLUMN atlas.driving_head.place IS
    'place among the heads of this feature and method; 1: drives it most';
