-- one row per published run and claim of the paper, with the verdict on it. The rule:
--   not measured          the run has no number for the claim itself (check 1)
--   holds                 every check passes
--   holds partly          the claim itself passes; a part or a control fails, is open or is not there
--   refuted in this run   the claim itself fails: its whole interval lies on the wrong side
--   not shown             the claim itself is open: its interval reaches over the mark
CREATE VIEW atlas.claim AS
SELECT
    checked.run_id,
    said.claim_no,
    said.claim,
    said.section,
    said.says,
    said.paper,
    checked.measured,
    checked.value,
    checked.low,
    checked.high,
    checked.counted_in,
    checked.claimed,
    checked.controls,
    CASE
        WHEN checked.outcome = 'not measured' THEN 'not measured'
        WHEN checked.n_passed = checked.n_checks THEN 'holds'
        WHEN checked.outcome = 'passes' THEN 'holds partly'
        WHEN checked.outcome = 'fails' THEN 'refuted in this run'
        ELSE 'not shown'
    END AS verdict,
    checked.n_checks,
    checked.n_passed,
    said.saved_query
FROM atlas.paper_claim AS said
JOIN (
    SELECT
        run_id,
        claim,
        max(says) FILTER (WHERE check_no = 1) AS measured,
        max(value) FILTER (WHERE check_no = 1) AS value,
        max(low) FILTER (WHERE check_no = 1) AS low,
        max(high) FILTER (WHERE check_no = 1) AS high,
        max(counted_in) FILTER (WHERE check_no = 1) AS counted_in,
        max(outcome) FILTER (WHERE check_no = 1) AS outcome,
        max(claimed) FILTER (WHERE check_no = 1) AS claimed,
        count(*) AS n_checks,
        count(*) FILTER (WHERE outcome = 'passes') AS n_passed,
        string_agg(
            says || ', ' || claimed || ': ' || number || outcome, E'\n' ORDER BY check_no
        ) FILTER (WHERE check_no > 1) AS controls
    FROM atlas.claim_check
    CROSS JOIN LATERAL (
        SELECT
            coalesce(round(value::numeric, 3) || ' ', '') || coalesce(
                '[' || round(low::numeric, 3) || ', ' || round(high::numeric, 3) || '] ', ''
            ) AS number
    ) AS in_words
    GROUP BY run_id, claim
) AS checked USING (claim);

COMMENT ON VIEW atlas.claim IS
    'what of the paper holds in a run: each claim, the number here, its controls, the verdict';
COMMENT ON COLUMN atlas.claim.run_id IS 'the run that is held to the claim';
COMMENT ON COLUMN atlas.claim.claim IS 'its name';
COMMENT ON COLUMN atlas.claim.measured IS 'the number that stands for the claim, in words';
COMMENT ON COLUMN atlas.claim.value IS 'that number in this run; NULL: not measured';
COMMENT ON COLUMN atlas.claim.low IS 'lower end of its 95 % interval; NULL: none, it is a count';
COMMENT ON COLUMN atlas.claim.high IS 'upper end of that interval';
COMMENT ON COLUMN atlas.claim.counted_in IS 'unit of that number';
COMMENT ON COLUMN atlas.claim.claimed IS 'where it lies if the claim is right';
COMMENT ON COLUMN atlas.claim.controls IS
    'a line for each further part and control: what, its claimed range, the number, the outcome';
COMMENT ON COLUMN atlas.claim.verdict IS
    'not measured: no number for the claim itself; holds: every check passes; holds partly: the '
    'claim itself passes, a part or control does not or is not there; refuted in this run: its '
    'whole interval lies on the wrong side; not shown: the interval reaches over the mark';
COMMENT ON COLUMN atlas.claim.n_checks IS 'the claim itself, its parts and its controls';
COMMENT ON COLUMN atlas.claim.n_passed IS 'of them, how many pass';
