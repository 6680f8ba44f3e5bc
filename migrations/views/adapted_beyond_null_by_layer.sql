-- how many adapted features of each layer turned further than their controls explain (4.2, A.3)
CREATE VIEW atlas.adapted_beyond_null_by_layer AS
SELECT
    run_id,
    layer,
    count(*) FILTER (WHERE is_adapted) AS n_adapted,
    CASE
        WHEN count(is_beyond_null) > 0 THEN count(*) FILTER (WHERE is_adapted AND is_beyond_null)
    END AS n_beyond_null,
    CASE
        WHEN count(is_beyond_language) > 0
        THEN count(*) FILTER (WHERE is_adapted AND is_beyond_language)
    END AS n_beyond_language,
    CASE
        WHEN count(is_turned_by_vision) > 0 THEN count(*) FILTER (WHERE is_turned_by_vision)
    END AS n_turned_by_vision
FROM atlas.selection
GROUP BY run_id, layer;

COMMENT ON VIEW atlas.adapted_beyond_null_by_layer IS
    'adapted features per run and layer, and how many of them their controls leave (4.2, A.3)';
COMMENT ON COLUMN atlas.adapted_beyond_null_by_layer.n_adapted IS
    'adapted features by the paper''s operating point: E_v above epsilon, cosine in the bottom share';
COMMENT ON COLUMN atlas.adapted_beyond_null_by_layer.n_beyond_null IS
    'of them, how many turned further than refitting alone explains; none: no refit regime';
COMMENT ON COLUMN atlas.adapted_beyond_null_by_layer.n_beyond_language IS
    'of the adapted, how many turned further than on the same questions without image; '
    'none: no such regime';
COMMENT ON COLUMN atlas.adapted_beyond_null_by_layer.n_turned_by_vision IS
    'of the adapted, how many did both; none: no controls';
