-- one row per run, corruption, method and head: how strongly it drives the features that were
-- traced (5.2)
CREATE VIEW atlas.head_ranking AS
SELECT
    run_id,
    method,
    head_layer,
    head,
    count(*) AS n_features,
    avg(drive) AS mean_score,
    max(drive) AS max_score,
    count(*) FILTER (WHERE place <= 5) AS n_in_top_five,
    rank() OVER (PARTITION BY run_id, corruption, method ORDER BY avg(drive) DESC) AS place,
    count(*) FILTER (WHERE evidence <> 'screened') AS n_patched,
    count(*) FILTER (WHERE evidence = 'causal') AS n_causal,
    CASE
        WHEN bool_or(evidence = 'causal') THEN 'causal'
        WHEN bool_or(evidence = 'not confirmed') THEN 'not confirmed'
        ELSE 'screened'
    END AS evidence,
    corruption
FROM atlas.driving_head
GROUP BY run_id, corruption, method, head_layer, head;

COMMENT ON VIEW atlas.head_ranking IS
    'heads by mean score over the traced features; score is -A or B, above 0: drives them (5.2)';
COMMENT ON COLUMN atlas.head_ranking.n_features IS 'features that were traced to this head';
COMMENT ON COLUMN atlas.head_ranking.mean_score IS
    'drive (driving_head), mean over these features; above 0: drives them';
COMMENT ON COLUMN atlas.head_ranking.max_score IS
    'drive of the feature that the head drives most';
COMMENT ON COLUMN atlas.head_ranking.n_in_top_five IS
    'of these features, how many have the head among their first five';
COMMENT ON COLUMN atlas.head_ranking.n_patched IS
    'of these features, for how many the head was also swapped for real';
COMMENT ON COLUMN atlas.head_ranking.n_causal IS
    'of these features, for how many the swap confirmed that the head is a cause';
COMMENT ON COLUMN atlas.head_ranking.evidence IS
    'causal: of one feature at least; not confirmed: swapped, of none; screened: attribution only';
COMMENT ON COLUMN atlas.head_ranking.place IS
    'place among the heads of this run, corruption and method by mean_score; 1: first';
