-- one row per run, corruption, method and head, over all traced features (5.2, Fig. 13)
CREATE VIEW atlas.head_map AS
SELECT
    run_id,
    method,
    head_layer,
    head,
    count(*) AS n_features,
    avg(abs(score)) AS mean_abs_score,
    avg(CASE method WHEN 'A' THEN -score ELSE score END) AS mean_drive,
    stddev_samp(CASE method WHEN 'A' THEN -score ELSE score END) AS deviation,
    corruption
FROM atlas.head_attribution
GROUP BY run_id, corruption, method, head_layer, head;

COMMENT ON VIEW atlas.head_map IS
    'how much each head matters to the traced features, layer by head (5.2, Fig. 13)';
COMMENT ON COLUMN atlas.head_map.n_features IS 'features that were traced to this head';
COMMENT ON COLUMN atlas.head_map.mean_abs_score IS
    '|score|, mean over these features: it matters, whether it drives or holds back';
COMMENT ON COLUMN atlas.head_map.mean_drive IS
    '-A or B, mean over these features; above 0: drives them';
COMMENT ON COLUMN atlas.head_map.deviation IS
    'standard deviation of -A or B over these features; NULL: only one';
