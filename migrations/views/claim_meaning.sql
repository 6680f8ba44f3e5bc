-- numbers of the paper's claims about descriptions (5.1, B): the run's own, not imported ones
CREATE VIEW atlas.claim_meaning AS
SELECT run_id, claim, check_no, value, spread.low, spread.high
FROM (
    SELECT run_id, claim, check_no, avg(x) AS value, stddev_samp(x) AS deviation, count(x) AS n
    FROM (
        SELECT run_id, 'descriptions-hold' AS claim, 1 AS check_no, f1_gain AS x
        FROM atlas.label_score
        WHERE variant = 'RAW' AND NOT is_imported
        UNION ALL
        SELECT run_id, 'overlays-help', check_no, drawn.f1 - plain.f1
        FROM atlas.label_score AS plain
        JOIN atlas.label_score AS drawn USING (run_id, layer, feature, explainer, model)
        CROSS JOIN (VALUES (1), (2)) AS twice (check_no)
        WHERE plain.variant = 'RAW' AND drawn.variant = 'OVERLAY' AND NOT plain.is_imported
    ) AS of_feature
    GROUP BY run_id, claim, check_no
) AS over_features
CROSS JOIN LATERAL atlas.mean_interval(value, deviation, n) AS spread
UNION ALL
SELECT
    run_id,
    'descriptions-hold',
    check_no,
    hits / nullif(n, 0)::double precision,
    share.low,
    share.high
FROM (
    SELECT run_id, check_no, count(*) FILTER (WHERE is_so) AS hits, count(is_so) AS n
    FROM atlas.label_score
    CROSS JOIN LATERAL (VALUES (2, is_informative), (3, needs_picture)) AS told (check_no, is_so)
    WHERE variant = 'RAW' AND NOT is_imported
    GROUP BY run_id, check_no
) AS counted
LEFT JOIN LATERAL atlas.share_interval(hits, n) AS share ON true;

COMMENT ON VIEW atlas.claim_meaning IS 'numbers of the paper''s claims about descriptions (5.1, B)';
COMMENT ON COLUMN atlas.claim_meaning.claim IS 'the claim, as in paper_claim';
COMMENT ON COLUMN atlas.claim_meaning.check_no IS 'the check of the claim, as in paper_check';
COMMENT ON COLUMN atlas.claim_meaning.value IS 'the number in this run; NULL: not measured';
COMMENT ON COLUMN atlas.claim_meaning.low IS 'lower end of its 95 % interval; NULL: none';
COMMENT ON COLUMN atlas.claim_meaning.high IS 'upper end of that interval';
