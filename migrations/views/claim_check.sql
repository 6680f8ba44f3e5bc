-- one row per published run and check of a claim: the number, where the claim wants it, and whether
-- it is there. It passes where its whole interval lies in the claimed range, fails where the whole
-- interval lies outside of it, and is open where the interval reaches over an end. A count, which has
-- no interval, passes or fails.
CREATE VIEW atlas.claim_check AS
SELECT
    run.id AS run_id,
    held.claim,
    held.check_no,
    held.kind,
    held.says,
    measured.value,
    measured.low,
    measured.high,
    held.claimed_low,
    held.claimed_high,
    CASE
        WHEN held.claimed_low IS NULL THEN 'below ' || round(held.claimed_high::numeric, 3)
        WHEN held.claimed_high IS NULL THEN 'above ' || round(held.claimed_low::numeric, 3)
        ELSE
            round(held.claimed_low::numeric, 3) || ' to ' || round(held.claimed_high::numeric, 3)
    END AS claimed,
    held.unit AS counted_in,
    held.drawn,
    CASE
        WHEN measured.value IS NULL THEN 'not measured'
        WHEN coalesce(coalesce(low, value) > claimed_low, true)
            AND coalesce(coalesce(high, value) < claimed_high, true) THEN 'passes'
        WHEN coalesce(high, value) <= claimed_low OR coalesce(low, value) >= claimed_high
            THEN 'fails'
        ELSE 'open'
    END AS outcome
FROM atlas.run
CROSS JOIN atlas.paper_check AS held
LEFT JOIN (
    SELECT run_id, claim, check_no, value, low, high FROM atlas.claim_dictionary
    UNION ALL
    SELECT run_id, claim, check_no, value, low, high FROM atlas.claim_features
    UNION ALL
    SELECT run_id, claim, check_no, value, low, high FROM atlas.claim_sets
    UNION ALL
    SELECT run_id, claim, check_no, value, low, high FROM atlas.claim_meaning
    UNION ALL
    SELECT run_id, claim, check_no, value, low, high FROM atlas.claim_heads
    UNION ALL
    SELECT run_id, claim, check_no, value, low, high FROM atlas.claim_ablation
) AS measured
    ON measured.run_id = run.id
    AND measured.claim = held.claim
    AND measured.check_no = held.check_no
WHERE run.state IN ('published', 'superseded');

COMMENT ON VIEW atlas.claim_check IS
    'each check of the paper''s claims in each run: the number, the claimed range, the outcome';
COMMENT ON COLUMN atlas.claim_check.run_id IS 'the run that is held to the claim';
COMMENT ON COLUMN atlas.claim_check.claim IS 'the claim, as in paper_claim';
COMMENT ON COLUMN atlas.claim_check.check_no IS '1: the claim itself; 2 and up: parts and controls';
COMMENT ON COLUMN atlas.claim_check.value IS 'the number in this run; NULL: not measured';
COMMENT ON COLUMN atlas.claim_check.low IS 'lower end of its 95 % interval; NULL: none';
COMMENT ON COLUMN atlas.claim_check.high IS 'upper end of that interval';
COMMENT ON COLUMN atlas.claim_check.claimed IS 'the claimed range, in words';
COMMENT ON COLUMN atlas.claim_check.counted_in IS 'unit of the number';
COMMENT ON COLUMN atlas.claim_check.outcome IS
    'passes: the whole interval in the claimed range; fails: the whole interval outside; open: it '
    'reaches over an end; not measured';
