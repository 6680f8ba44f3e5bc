-- how far reviewers agree beyond chance: one row per run and pair of reviewers, and one for all pairs
-- of a run together, which names nobody. A pair is compared on the features of which both judged the
-- same words, each by their newest verdict (5.1). Cohen's kappa (1960):
--     kappa = (p_o - p_e) / (1 - p_e)
--     p_o: share of equal verdicts; p_e: what both reviewers' shares of each verdict give by chance
--     standard error: sqrt(p_o (1 - p_o) / n) / (1 - p_e)
-- Over all pairs p_o and p_e are their means, each pair counting by its features.
CREATE VIEW atlas.review_agreement AS
WITH newest AS (
    SELECT DISTINCT ON (run_id, layer, feature, reviewer)
        run_id, layer, feature, reviewer, verdict, judged
    FROM atlas.review
    ORDER BY run_id, layer, feature, reviewer, created_at DESC, id DESC
),

compared AS (
    SELECT
        run_id,
        layer,
        feature,
        one.reviewer,
        other.reviewer AS other_reviewer,
        one.verdict,
        other.verdict AS other_verdict
    FROM newest AS one
    JOIN newest AS other USING (run_id, layer, feature)
    WHERE one.reviewer < other.reviewer AND one.judged IS NOT DISTINCT FROM other.judged
),

pair AS (
    SELECT
        run_id,
        reviewer,
        other_reviewer,
        count(*) AS n,
        count(*) FILTER (WHERE verdict = other_verdict) / count(*)::double precision AS same,
        (
            count(*) FILTER (WHERE verdict = 'accept')
            * count(*) FILTER (WHERE other_verdict = 'accept')
            + count(*) FILTER (WHERE verdict = 'edit')
            * count(*) FILTER (WHERE other_verdict = 'edit')
            + count(*) FILTER (WHERE verdict = 'reject')
            * count(*) FILTER (WHERE other_verdict = 'reject')
        ) / (count(*)::double precision * count(*)) AS by_chance
    FROM compared
    GROUP BY run_id, reviewer, other_reviewer
),

agreement AS (
    SELECT run_id, reviewer, other_reviewer, n AS n_features, same, by_chance, n AS n_independent
    FROM pair
    UNION ALL
    SELECT
        run_id,
        NULL,
        NULL,
        (
            SELECT count(DISTINCT (layer, feature))
            FROM compared
            WHERE compared.run_id = pair.run_id
        ),
        sum(n * same) / sum(n),
        sum(n * by_chance) / sum(n),
        CASE WHEN count(*) = 1 THEN min(n) END
    FROM pair
    GROUP BY run_id
)

SELECT
    run_id,
    reviewer,
    other_reviewer,
    n_features,
    same AS share_same,
    by_chance AS share_by_chance,
    kappa,
    CASE WHEN reach IS NOT NULL THEN greatest(kappa - reach, -1) END AS kappa_low,
    CASE WHEN reach IS NOT NULL THEN least(kappa + reach, 1) END AS kappa_high
FROM agreement
CROSS JOIN LATERAL (
    SELECT
        (same - by_chance) / nullif(1 - by_chance, 0) AS kappa,
        1.96 * sqrt(same * (1 - same) / n_independent) / nullif(1 - by_chance, 0) AS reach
) AS beyond_chance;

COMMENT ON VIEW atlas.review_agreement IS
    'how far reviewers agree on labels beyond chance: Cohen''s kappa of each pair of reviewers and of '
    'all together, over features of which both judged the same words (5.1)';
COMMENT ON COLUMN atlas.review_agreement.reviewer IS
    'who, the first by name; none: all pairs of the run together';
COMMENT ON COLUMN atlas.review_agreement.other_reviewer IS 'the other one';
COMMENT ON COLUMN atlas.review_agreement.n_features IS
    'features of which both judged the same words, by their newest verdicts';
COMMENT ON COLUMN atlas.review_agreement.share_same IS 'of these, on how many they say the same';
COMMENT ON COLUMN atlas.review_agreement.share_by_chance IS
    'what chance gives two reviewers who say accept, edit and reject as often as they do';
COMMENT ON COLUMN atlas.review_agreement.kappa IS
    'agreement beyond chance; 1: always the same, 0: as by chance; none: both always say one thing';
COMMENT ON COLUMN atlas.review_agreement.kappa_low IS
    'lower end of its 95 % interval; none: of several pairs, which share features';
COMMENT ON COLUMN atlas.review_agreement.kappa_high IS 'upper end of its 95 % interval';
