-- numbers of the paper's claims about heads (5.2, C): means over the features that were traced, and
-- what real swaps and objects in pictures say; with the mean image as the corruption, as in the paper
CREATE VIEW atlas.claim_heads AS
SELECT run_id, claim, check_no, value, spread.low, spread.high
FROM (
    SELECT run_id, claim, check_no, avg(x) AS value, stddev_samp(x) AS deviation, count(x) AS n
    FROM atlas.claim_heads_of_feature
    GROUP BY run_id, claim, check_no
) AS over_features
CROSS JOIN LATERAL atlas.mean_interval(value, deviation, n) AS spread
UNION ALL
SELECT
    run_id,
    'few-heads-drive',
    2,
    first - drawn,
    first - drawn - 1.96 * sqrt(variance),
    first - drawn + 1.96 * sqrt(variance)
FROM (
    SELECT
        run_id,
        avg(is_causal::integer) FILTER (WHERE why = 'top')::double precision AS first,
        avg(is_causal::integer) FILTER (WHERE why = 'random')::double precision AS drawn,
        (var_samp(is_causal::integer) FILTER (WHERE why = 'top')
            / nullif(count(*) FILTER (WHERE why = 'top'), 0)
            + var_samp(is_causal::integer) FILTER (WHERE why = 'random')
            / nullif(count(*) FILTER (WHERE why = 'random'), 0))::double precision AS variance
    FROM atlas.head_exact
    WHERE corruption = 'mean' AND part = 'qk' AND method = 'B' AND why IN ('top', 'random')
    GROUP BY run_id
) AS swapped
UNION ALL
SELECT
    run_id,
    'methods-agree',
    CASE estimate WHEN 'B' THEN 2 ELSE 3 END,
    spearman,
    spearman_low,
    spearman_high
FROM atlas.attribution_agreement
WHERE corruption = 'mean' AND part = 'qk' AND scope = 'within_feature' AND estimate IN ('B', 'mean')
UNION ALL
SELECT run_id, 'heads-recur', 2, max(n_served)::double precision / n_relations, NULL, NULL
FROM (
    SELECT run_id, head_layer, head, count(*) AS n_served
    FROM atlas.head_recurrence
    WHERE corruption = 'mean' AND method = 'B' AND grouped_by = 'relation'
    GROUP BY run_id, head_layer, head
) AS serving
JOIN (
    SELECT run_id, count(DISTINCT relation) AS n_relations
    FROM atlas.ablation
    JOIN (SELECT DISTINCT run_id, layer, feature FROM atlas.head_attribution WHERE corruption = 'mean') AS traced
        USING (run_id, layer, feature)
    WHERE control_no = 0 AND evaluation = 'vsr_relation'
    GROUP BY run_id
) AS asked USING (run_id)
WHERE n_relations > 1
GROUP BY run_id, n_relations
UNION ALL
SELECT
    run_id,
    'heads-look-there',
    CASE comparison WHEN 'top' THEN 1 WHEN 'top - bottom' THEN 2 ELSE 3 END,
    lift,
    lift_low,
    lift_high
FROM atlas.localisation
WHERE comparison IN ('top', 'top - bottom', 'top - random');

COMMENT ON VIEW atlas.claim_heads IS 'numbers of the paper''s claims about heads (5.2, C)';
COMMENT ON COLUMN atlas.claim_heads.claim IS 'the claim, as in paper_claim';
COMMENT ON COLUMN atlas.claim_heads.check_no IS 'the check of the claim, as in paper_check';
COMMENT ON COLUMN atlas.claim_heads.value IS 'the number in this run; NULL: not measured';
COMMENT ON COLUMN atlas.claim_heads.low IS 'lower end of its 95 % interval; NULL: none';
COMMENT ON COLUMN atlas.claim_heads.high IS 'upper end of that interval';
