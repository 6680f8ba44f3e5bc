-- the first five heads of each traced feature, by each method: those that drive it most; with the
-- mean image as the corruption, as in the paper (5.2)
CREATE VIEW atlas.first_heads AS
SELECT
    run_id,
    layer,
    feature,
    method,
    asked.relation,
    n_heads,
    array_agg(1000 * head_layer + head ORDER BY drive DESC) AS heads
FROM (
    SELECT
        run_id,
        layer,
        feature,
        method,
        head_layer::integer,
        head,
        drive,
        row_number() OVER (of_feature ORDER BY drive DESC, head_layer, head) AS place,
        count(*) OVER of_feature AS n_heads
    FROM (
        SELECT *, CASE method WHEN 'A' THEN -score ELSE score END AS drive
        FROM atlas.head_attribution
        WHERE corruption = 'mean'
    ) AS turned
    WINDOW of_feature AS (PARTITION BY run_id, layer, feature, method)
) AS ranked
LEFT JOIN (
    SELECT run_id, layer, feature, min(relation) AS relation
    FROM atlas.ablation
    WHERE control_no = 0 AND evaluation = 'vsr_relation'
    GROUP BY run_id, layer, feature
) AS asked USING (run_id, layer, feature)
WHERE place <= 5 AND drive > 0
GROUP BY run_id, layer, feature, method, asked.relation, n_heads;

COMMENT ON VIEW atlas.first_heads IS
    'the first five heads of each traced feature, by each method of attribution, the mean image as the corruption '
    '(5.2)';
COMMENT ON COLUMN atlas.first_heads.relation IS
    'spatial relation of the statements that it was removed on; NULL: not removed';
COMMENT ON COLUMN atlas.first_heads.n_heads IS 'heads that it was traced to';
COMMENT ON COLUMN atlas.first_heads.heads IS
    'those that drive it most, 1000 times the layer plus the head; strongest first';
