-- the same for each traced feature, where a claim is a mean over features (claim_heads); with the mean
-- image as the corruption, as in the paper
CREATE VIEW atlas.claim_heads_of_feature AS
-- how much of all scores is on the strongest tenth of its heads
SELECT
    run_id,
    layer,
    feature,
    'few-heads-drive' AS claim,
    1 AS check_no,
    sum(size) FILTER (WHERE place <= ceil(n_heads / 10.0)) / nullif(sum(size), 0) AS x
FROM (
    SELECT
        run_id,
        layer,
        feature,
        abs(score)::double precision AS size,
        row_number() OVER (PARTITION BY run_id, layer, feature ORDER BY abs(score) DESC) AS place,
        count(*) OVER (PARTITION BY run_id, layer, feature) AS n_heads
    FROM atlas.head_attribution
    WHERE corruption = 'mean' AND method = 'B'
) AS sized
GROUP BY run_id, layer, feature
UNION ALL
SELECT run_id, layer, feature, 'few-heads-drive', 3, delta_accuracy - control_mean
FROM atlas.head_knockout_summary
WHERE corruption = 'mean' AND part = 'qk'
UNION ALL
-- the layer whose heads drive it most, from the first layer of the model to its last
SELECT
    run_id,
    layer,
    feature,
    'middle-heads-drive',
    CASE method WHEN 'B' THEN 1 ELSE 2 END,
    head_layer / nullif(vlm.n_layers - 1, 0)::double precision
FROM (
    SELECT DISTINCT ON (run_id, layer, feature, method) run_id, layer, feature, method, head_layer
    FROM atlas.head_attribution
    WHERE corruption = 'mean'
    GROUP BY run_id, layer, feature, method, head_layer
    ORDER BY run_id, layer, feature, method, sum(CASE method WHEN 'A' THEN -score ELSE score END) DESC
) AS peak
JOIN atlas.run ON run.id = peak.run_id
JOIN atlas.vlm ON vlm.id = run.vlm_id
UNION ALL
-- heads in common with itself by the other method, or with features of other relations, beyond lot:
-- two draws of five from n heads have five times five over n in common
SELECT run_id, layer, feature, claim, 1, avg((n_shared - n_by_lot) / 5)
FROM (
    SELECT 'methods-agree' AS claim, one.*, other.heads AS others, one.n_heads AS among
    FROM atlas.first_heads AS one
    JOIN atlas.first_heads AS other USING (run_id, layer, feature)
    WHERE one.method = 'B' AND other.method = 'A'
    UNION ALL
    SELECT 'heads-recur', one.*, other.heads, greatest(one.n_heads, other.n_heads)
    FROM atlas.first_heads AS one
    JOIN atlas.first_heads AS other USING (run_id, method)
    WHERE method = 'B' AND one.relation <> other.relation
) AS pair
CROSS JOIN LATERAL (
    SELECT
        count(*) AS n_shared,
        cardinality(heads) * cardinality(others) / among::double precision AS n_by_lot
    FROM unnest(heads) AS head
    WHERE head = ANY (others)
) AS overlap
GROUP BY run_id, layer, feature, claim;

COMMENT ON VIEW atlas.claim_heads_of_feature IS
    'numbers of the paper''s claims about heads for each traced feature (5.2, C)';
COMMENT ON COLUMN atlas.claim_heads_of_feature.claim IS 'the claim, as in paper_claim';
COMMENT ON COLUMN atlas.claim_heads_of_feature.check_no IS
    'the check of the claim, as in paper_check';
COMMENT ON COLUMN atlas.claim_heads_of_feature.x IS 'the number of this feature';
