-- one row of the paper's Tables 1 and 2: is its accuracy drop significant at its own n? The paper
-- prints no test and no counts, so two cases: the most favourable one, in which every answer that
-- changed was broken, and one in which 5 % of the answers were mended beside. Exact McNemar, and
-- Benjamini-Hochberg over the rows of a table. Table 1 prints no n: that of Table 2, same feature.
CREATE VIEW atlas.published_significance AS
WITH counted AS (
    SELECT
        paper.table_no,
        paper.layer,
        paper.feature,
        paper.relations,
        paper.delta_vsr,
        coalesce(paper.n_samples, full_row.n_samples) AS n,
        greatest(-round((paper.delta_vsr * coalesce(paper.n_samples, full_row.n_samples) / 100)
            ::numeric), 0)::bigint AS net_lost,
        round(0.05 * coalesce(paper.n_samples, full_row.n_samples))::bigint AS mended
    FROM atlas.published_result AS paper
    LEFT JOIN atlas.published_result AS full_row
        ON full_row.table_no = 2
        AND full_row.layer = paper.layer
        AND full_row.feature = paper.feature
),
tested AS (
    SELECT
        *,
        atlas.mcnemar_exact(net_lost, 0) AS p_best,
        atlas.mcnemar_exact(net_lost + mended, mended) AS p_counter,
        196 * sqrt(net_lost + 2 * mended - net_lost ^ 2 / n) / n AS half_width
    FROM counted
),
ranked AS (
    SELECT
        *,
        p_best * count(*) OVER of_table
            / count(*) OVER (of_table ORDER BY p_best) AS scaled_best,
        p_counter * count(*) OVER of_table
            / count(*) OVER (of_table ORDER BY p_counter) AS scaled_counter
    FROM tested
    WINDOW of_table AS (PARTITION BY table_no)
)
SELECT
    table_no,
    layer,
    feature,
    relations,
    n AS n_samples,
    delta_vsr,
    net_lost,
    mended AS assumed_mended,
    p_best,
    min(scaled_best) OVER (PARTITION BY table_no ORDER BY p_best DESC) AS q_best,
    p_counter,
    min(scaled_counter) OVER (PARTITION BY table_no ORDER BY p_counter DESC) AS q_counter,
    delta_vsr - half_width AS delta_vsr_low,
    delta_vsr + half_width AS delta_vsr_high,
    p_best < 0.05 AS is_significant_at_best,
    p_counter < 0.05 AS is_significant
FROM ranked;

COMMENT ON VIEW atlas.published_significance IS
    'whether each drop of the paper''s Tables 1 and 2 is significant at its own n (5.3, D)';
COMMENT ON COLUMN atlas.published_significance.n_samples IS
    'VSR statements evaluated; of Table 1, those of Table 2''s row of the feature';
COMMENT ON COLUMN atlas.published_significance.net_lost IS
    'right answers lost, net: the printed drop times n, rounded';
COMMENT ON COLUMN atlas.published_significance.assumed_mended IS
    'answers mended beside in the second case: 5 % of n';
COMMENT ON COLUMN atlas.published_significance.p_best IS
    'exact McNemar p if no answer was mended: the most favourable pattern';
COMMENT ON COLUMN atlas.published_significance.q_best IS
    'p_best after Benjamini-Hochberg over the rows of the table';
COMMENT ON COLUMN atlas.published_significance.p_counter IS
    'exact McNemar p if assumed_mended answers were mended, and as many more were broken';
COMMENT ON COLUMN atlas.published_significance.q_counter IS
    'p_counter after Benjamini-Hochberg over the rows of the table';
COMMENT ON COLUMN atlas.published_significance.delta_vsr_low IS
    'lower end of the 95 % interval in the second case, normal approximation';
COMMENT ON COLUMN atlas.published_significance.delta_vsr_high IS 'upper end of that interval';
COMMENT ON COLUMN atlas.published_significance.is_significant_at_best IS
    'p_best below 0.05; false: no pattern of answers makes the row significant';
COMMENT ON COLUMN atlas.published_significance.is_significant IS 'p_counter below 0.05';
