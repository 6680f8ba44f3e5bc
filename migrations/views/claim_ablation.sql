-- numbers of the paper's claims about removals (5.3, D), mean over removed features: over the six that
-- hurt most, as Table 1 shows them, unless a check says otherwise
CREATE VIEW atlas.claim_ablation AS
SELECT
    run_id,
    claim,
    check_no,
    CASE claim WHEN 'odds-are-high' THEN exp(value) ELSE value END AS value,
    CASE claim WHEN 'odds-are-high' THEN exp(spread.low) ELSE spread.low END AS low,
    CASE claim WHEN 'odds-are-high' THEN exp(spread.high) ELSE spread.high END AS high
FROM (
    SELECT run_id, claim, check_no, avg(x) AS value, stddev_samp(x) AS deviation, count(x) AS n
    FROM (
        SELECT
            *,
            row_number() OVER (PARTITION BY run_id ORDER BY delta_vsr, layer, feature) <= 6 AS is_top
        FROM atlas.ablation_summary
    ) AS removed
    LEFT JOIN (
        SELECT run_id, layer, feature, shift.matched_odds_ratio
        FROM atlas.firing_shift AS shift
        WHERE shift.skill_id = (SELECT id FROM atlas.skill WHERE name = 'spatial')
    ) AS spatial USING (run_id, layer, feature)
    CROSS JOIN LATERAL (
        VALUES
            ('removal-hurts', 1, is_top, delta_vsr::double precision),
            ('removal-hurts', 2, is_top, delta_vsr),
            ('removal-hurts', 3, is_top, delta_vsr - control_mean),
            ('removal-hurts', 4, is_top, delta_vsr_probability),
            ('removal-hurts', 5, true, delta_vsr),
            ('general-questions-spared', 1, is_top, delta_vqa),
            ('general-questions-spared', 2, is_top, interaction),
            ('random-features-do-not', 1, is_top, random_control_mean),
            ('random-features-do-not', 2, is_top, control_mean),
            ('random-features-do-not', 3, is_top, direction_control_mean),
            -- a mean of logarithms
            ('odds-are-high', 1, is_top, ln(nullif(odds_ratio, 0))),
            ('odds-are-high', 2, is_top, ln(nullif(odds_ratio, 0))),
            ('odds-are-high', 3, is_top, ln(nullif(matched_odds_ratio, 0))),
            ('survivors-are-used', 1, survives_spatial, delta_vsr)
    ) AS number (claim, check_no, is_meant, x)
    WHERE is_meant
    GROUP BY run_id, claim, check_no
) AS over_features
CROSS JOIN LATERAL atlas.mean_interval(value, deviation, n) AS spread
UNION ALL
SELECT
    run_id,
    'survivors-are-used',
    2,
    difference,
    difference - 1.96 * sqrt(variance),
    difference + 1.96 * sqrt(variance)
FROM (
    SELECT
        run_id,
        avg(delta_vsr) FILTER (WHERE survives_spatial)
            - avg(delta_vsr) FILTER (WHERE NOT survives_spatial) AS difference,
        var_samp(delta_vsr) FILTER (WHERE survives_spatial)
            / nullif(count(*) FILTER (WHERE survives_spatial), 0)
            + var_samp(delta_vsr) FILTER (WHERE NOT survives_spatial)
            / nullif(count(*) FILTER (WHERE NOT survives_spatial), 0) AS variance
    FROM atlas.ablation_summary
    GROUP BY run_id
) AS two_groups;

COMMENT ON VIEW atlas.claim_ablation IS 'numbers of the paper''s claims about removals (5.3, D)';
COMMENT ON COLUMN atlas.claim_ablation.claim IS 'the claim, as in paper_claim';
COMMENT ON COLUMN atlas.claim_ablation.check_no IS 'the check of the claim, as in paper_check';
COMMENT ON COLUMN atlas.claim_ablation.value IS 'the number in this run; NULL: not measured';
COMMENT ON COLUMN atlas.claim_ablation.low IS 'lower end of its 95 % interval; NULL: none';
COMMENT ON COLUMN atlas.claim_ablation.high IS 'upper end of that interval';
