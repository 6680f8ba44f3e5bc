-- one row per run, method and head: how strongly it drives the features that were traced (5.2).
-- A head helps where method A is negative and method B positive, so A is turned round here.
CREATE VIEW atlas.head_ranking AS
SELECT
    run_id,
    method,
    head_layer,
    head,
    count(*) AS n_features,
    avg(helps) AS mean_score,
    max(helps) AS max_score,
    count(*) FILTER (WHERE place <= 5) AS n_in_top_five,
    rank() OVER (PARTITION BY run_id, method ORDER BY avg(helps) DESC) AS place
FROM (
    SELECT
        run_id,
        method,
        head_layer,
        head,
        helps,
        rank() OVER (PARTITION BY run_id, method, layer, feature ORDER BY helps DESC) AS place
    FROM (
        SELECT *, CASE method WHEN 'A' THEN -score ELSE score END AS helps
        FROM atlas.head_attribution
    ) AS turned
) AS ranked
GROUP BY run_id, method, head_layer, head;

COMMENT ON VIEW atlas.head_ranking IS
    'heads by mean score over the traced features; score is -A or B, above 0: drives them (5.2)';
