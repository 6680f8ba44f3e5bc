-- numbers of the paper's claims about how dictionaries adapt (4.1, A.2): FVU at the end of training,
-- differences taken layer by layer
CREATE VIEW atlas.claim_dictionary AS
SELECT run_id, claim, check_no, value, low, high
FROM (
    SELECT run_id, claim, check_no, avg(x) AS value, stddev_samp(x) AS deviation, count(x) AS n
    FROM (
        SELECT
            run_id,
            layer,
            max(fvu) FILTER (WHERE regime = 'text')::double precision AS text,
            max(fvu) FILTER (WHERE regime = 'image') AS image,
            max(fvu) FILTER (WHERE regime = 'full') AS whole,
            max(fvu) FILTER (WHERE regime = 'random') AS random
        FROM (
            SELECT DISTINCT ON (curve.run_id, curve.regime_id, curve.layer)
                curve.run_id, regime.name AS regime, curve.layer, curve.fvu
            FROM atlas.training_curve AS curve
            JOIN atlas.regime ON regime.id = curve.regime_id
            WHERE curve.role = 'all'
            ORDER BY curve.run_id, curve.regime_id, curve.layer, curve.tokens_seen DESC
        ) AS at_the_end
        GROUP BY run_id, layer
    ) AS of_layer
    CROSS JOIN LATERAL (
        VALUES
            ('text-adapts-best', 1, text - image),
            ('text-adapts-best', 2, text - whole),
            ('text-adapts-best', 3, text),
            ('text-adapts-best', 4, random - greatest(text, image, whole))
    ) AS difference (claim, check_no, x)
    GROUP BY run_id, claim, check_no
) AS over_layers
CROSS JOIN LATERAL atlas.mean_interval(value, deviation, n);

COMMENT ON VIEW atlas.claim_dictionary IS
    'numbers of the paper''s claims about dictionaries that adapt (4.1, A.2)';
COMMENT ON COLUMN atlas.claim_dictionary.claim IS 'the claim, as in paper_claim';
COMMENT ON COLUMN atlas.claim_dictionary.check_no IS 'the check of the claim, as in paper_check';
COMMENT ON COLUMN atlas.claim_dictionary.value IS 'the number in this run; NULL: not measured';
COMMENT ON COLUMN atlas.claim_dictionary.low IS 'lower end of its 95 % interval; NULL: none';
COMMENT ON COLUMN atlas.claim_dictionary.high IS 'upper end of that interval';
