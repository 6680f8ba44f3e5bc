-- one row per traced feature, corruption, method and head (5.2). A head helps where method A is
-- negative and method B positive, so A is turned round here: above 0 drives the feature, whatever the method.
CREATE VIEW atlas.driving_head AS
SELECT
    turned.run_id,
    turned.layer,
    turned.feature,
    turned.method,
    turned.head_layer,
    turned.head,
    turned.drive,
    turned.standard_error,
    rank() OVER (
        PARTITION BY
            turned.run_id, turned.corruption, turned.method, turned.layer, turned.feature
        ORDER BY turned.drive DESC
    ) AS place,
    turned.n_samples,
    avg(turned.drive) OVER (
        PARTITION BY
            turned.run_id,
            turned.corruption,
            turned.layer,
            turned.feature,
            turned.head_layer,
            turned.head
    ) AS mean_drive,
    turned.sign * turned.qk_fix AS drive_fix,
    turned.sign * exact.effect AS exact_drive,
    least(turned.sign * exact.effect_low, turned.sign * exact.effect_high) AS exact_low,
    greatest(turned.sign * exact.effect_low, turned.sign * exact.effect_high) AS exact_high,
    exact.q_value AS exact_q_value,
    CASE
        WHEN exact.is_causal THEN 'causal'
        WHEN NOT exact.is_causal THEN 'not confirmed'
        ELSE 'screened'
    END AS evidence,
    turned.corruption,
    m.params ->> 'positions' AS positions,
    m.params ->> 'direction' AS direction,
    turned.sign * relevance.qk AS drive_relp,
    turned.sign * integrated.qk AS drive_ig,
    turned.sign * dropped.qk AS drive_grad_drop
FROM (
    SELECT *, sign * score AS drive
    FROM (
        SELECT *, CASE method WHEN 'A' THEN -1 ELSE 1 END::real AS sign
        FROM atlas.head_attribution
    ) AS signed
) AS turned
JOIN atlas.measurement AS m ON m.id = turned.measurement_id
LEFT JOIN atlas.head_exact AS exact
    ON exact.run_id = turned.run_id
    AND exact.corruption = turned.corruption
    AND exact.layer = turned.layer
    AND exact.feature = turned.feature
    AND exact.method = turned.method
    AND exact.head_layer = turned.head_layer
    AND exact.head = turned.head
    AND exact.part = 'qk'
LEFT JOIN atlas.head_estimate AS relevance
    ON relevance.run_id = turned.run_id
    AND relevance.corruption = turned.corruption
    AND relevance.layer = turned.layer
    AND relevance.feature = turned.feature
    AND relevance.method = turned.method
    AND relevance.head_layer = turned.head_layer
    AND relevance.head = turned.head
    AND relevance.rule = 'relp'
LEFT JOIN atlas.head_estimate AS integrated
    ON integrated.run_id = turned.run_id
    AND integrated.corruption = turned.corruption
    AND integrated.layer = turned.layer
    AND integrated.feature = turned.feature
    AND integrated.method = turned.method
    AND integrated.head_layer = turned.head_layer
    AND integrated.head = turned.head
    AND integrated.rule = 'ig'
LEFT JOIN atlas.head_estimate AS dropped
    ON dropped.run_id = turned.run_id
    AND dropped.corruption = turned.corruption
    AND dropped.layer = turned.layer
    AND dropped.feature = turned.feature
    AND dropped.method = turned.method
    AND dropped.head_layer = turned.head_layer
    AND dropped.head = turned.head
    AND dropped.rule = 'grad_drop';

COMMENT ON VIEW atlas.driving_head IS
    'how strongly a head drives a traced feature, both methods turned the same way (5.2)';
COMMENT ON COLUMN atlas.driving_head.standard_error IS
    'standard error of drive over samples';
COMMENT ON COLUMN atlas.driving_head.n_samples IS 'samples averaged';
COMMENT ON COLUMN atlas.driving_head.drive IS
    'score of method B, or minus that of A; above 0: drives the feature';
COMMENT ON COLUMN atlas.driving_head.place IS
    'place among the heads of this feature, corruption and method; 1: drives it most';
COMMENT ON COLUMN atlas.driving_head.mean_drive IS
    'mean of B and minus A: the gradient taken at both ends, as integrated gradients of two points';
COMMENT ON COLUMN atlas.driving_head.drive_fix IS
    'drive with the QK fix, the softmax computed anew: right where it is saturated';
COMMENT ON COLUMN atlas.driving_head.drive_relp IS
    'drive of queries and keys by relevance patching (head_estimate); none: rule not configured';
COMMENT ON COLUMN atlas.driving_head.drive_ig IS
    'the same by gradients integrated from the corrupted to the clean picture';
COMMENT ON COLUMN atlas.driving_head.drive_grad_drop IS
    'the same by GradDrop: its size where ways that cancel are seen apart, with the sign of drive';
COMMENT ON COLUMN atlas.driving_head.exact_drive IS
    'the same by swapping queries and keys for real (head_exact); none: not patched';
COMMENT ON COLUMN atlas.driving_head.exact_low IS 'lower end of its 95 % interval over samples';
COMMENT ON COLUMN atlas.driving_head.exact_high IS 'upper end of its 95 % interval over samples';
COMMENT ON COLUMN atlas.driving_head.exact_q_value IS
    'of no exact effect, after Benjamini-Hochberg over the feature''s patched heads';
COMMENT ON COLUMN atlas.driving_head.evidence IS
    'causal: the swap has an effect beyond chance, of the sign that was estimated; not confirmed: '
    'swapped, and it has not; screened: attribution only';
COMMENT ON COLUMN atlas.driving_head.positions IS
    'where the projection was summed: text, question, last, strongest token';
COMMENT ON COLUMN atlas.driving_head.direction IS
    'decoder row that was projected on: adapted or base';
COMMENT ON COLUMN atlas.driving_head.method IS
    'A: gradient of the clean run; B: of the corrupt run (5.2)';
