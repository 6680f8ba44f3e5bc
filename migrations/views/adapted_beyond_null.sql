-- how many adapted features of a run turned further than their controls explain (4.2)
CREATE VIEW atlas.adapted_beyond_null AS
SELECT
    run_id,
    sum(n_adapted)::bigint AS n_adapted,
    sum(n_beyond_null)::bigint AS n_beyond_null,
    sum(n_beyond_language)::bigint AS n_beyond_language,
    sum(n_turned_by_vision)::bigint AS n_turned_by_vision
FROM atlas.adapted_beyond_null_by_layer
GROUP BY run_id;

COMMENT ON VIEW atlas.adapted_beyond_null IS
    'adapted features per run, and how many of them their controls leave (4.2)';
