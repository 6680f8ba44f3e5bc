-- numbers of the paper's claims about sets of features (4.2, 4.3, A.4): what controls and other
-- thresholds leave of the adapted set, and what else the candidates fire on; and what dictionaries
-- that nobody trained get by chance
CREATE VIEW atlas.claim_sets AS
SELECT run_id, claim, check_no, hits / nullif(n, 0)::double precision AS value, share.low, share.high
FROM (
    SELECT run_id, claim, check_no, hits, n_adapted AS n
    FROM atlas.adapted_beyond_null
    CROSS JOIN LATERAL (
        VALUES
            ('vision-turned-them', 1, n_turned_by_vision),
            ('vision-turned-them', 2, n_beyond_null),
            ('vision-turned-them', 3, n_beyond_language)
    ) AS left_over (claim, check_no, hits)
    UNION ALL
    SELECT
        run_id,
        'spatial-recruits-some',
        2,
        count(*) FILTER (WHERE matched_odds_ratio_low > 1),
        count(matched_odds_ratio_low)
    FROM atlas.skill_shift
    WHERE is_candidate AND skill = 'spatial'
    GROUP BY run_id
    UNION ALL
    SELECT run_id, 'vision-turned-them', 4, min(n_features), max(n_features)
    FROM atlas.seed_set
    WHERE feature_set = 'adapted'
    GROUP BY run_id
    HAVING max(n_seeds) > 1
) AS counted
LEFT JOIN LATERAL atlas.share_interval(hits, n) AS share ON true
UNION ALL
SELECT run_id, claim, check_no, value, spread.low, spread.high
FROM (
    SELECT run_id, claim, check_no, avg(x) AS value, stddev_samp(x) AS deviation, count(x) AS n
    FROM atlas.candidate
    CROSS JOIN LATERAL (
        VALUES
            (2, (n_fired - n_fired_mean_image) / nullif(n_samples, 0)::double precision),
            (3, (n_fired - n_fired_shuffled_image) / nullif(n_samples, 0)::double precision)
    ) AS difference (check_no, x)
    CROSS JOIN (VALUES ('neutral-prompts-decide')) AS named (claim)
    WHERE survives AND skill_id = (SELECT id FROM atlas.skill WHERE name = 'spatial')
    GROUP BY run_id, claim, check_no
) AS over_survivors
CROSS JOIN LATERAL atlas.mean_interval(value, deviation, n) AS spread
UNION ALL
SELECT run_id, claim, check_no, difference, difference - reach, difference + reach
FROM atlas.chance_score
JOIN (
    VALUES
        ('spatial: recruited', 'spatial-recruits-some', 4),
        ('F1', 'descriptions-hold', 4),
        ('ablation: change of accuracy', 'removal-hurts', 6)
) AS meant (score, claim, check_no) USING (score)
CROSS JOIN LATERAL (
    SELECT
        mean::double precision - random_mean AS difference,
        sqrt((high - low) ^ 2 + (random_high - random_low) ^ 2) / 2 AS reach
) AS apart
UNION ALL
SELECT run_id, claim, check_no, value, NULL, NULL
FROM (
    SELECT run.id AS run_id, min(sweep.jaccard) AS overlap, min(sweep.layer_correlation) AS likeness
    FROM atlas.run
    CROSS JOIN LATERAL (
        SELECT
            (run.config -> 'selection' ->> 'epsilon')::double precision AS epsilon,
            (run.config -> 'selection' ->> 'cosine_quantile')::double precision AS q
    ) AS chosen
    CROSS JOIN LATERAL atlas.selection_sweep(
        ARRAY[chosen.epsilon / 2, chosen.epsilon, 2 * chosen.epsilon],
        ARRAY[greatest(chosen.q - 0.05, 0), chosen.q, least(chosen.q + 0.05, 1)],
        run.id
    ) AS sweep
    WHERE run.state IN ('published', 'superseded') AND chosen.epsilon IS NOT NULL AND chosen.q IS NOT NULL
    GROUP BY run.id
) AS nearby
CROSS JOIN LATERAL (
    VALUES ('thresholds-do-not-matter', 1, overlap), ('thresholds-do-not-matter', 2, likeness)
) AS smallest (claim, check_no, value);

COMMENT ON VIEW atlas.claim_sets IS 'numbers of the paper''s claims about sets of features (4.2, 4.3)';
COMMENT ON COLUMN atlas.claim_sets.claim IS 'the claim, as in paper_claim';
COMMENT ON COLUMN atlas.claim_sets.check_no IS 'the check of the claim, as in paper_check';
COMMENT ON COLUMN atlas.claim_sets.value IS 'the number in this run; NULL: not measured';
COMMENT ON COLUMN atlas.claim_sets.low IS 'lower end of its 95 % interval; NULL: none';
COMMENT ON COLUMN atlas.claim_sets.high IS 'upper end of that interval';
