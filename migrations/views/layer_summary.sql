-- one row per run and layer (A.3)
CREATE VIEW atlas.layer_summary AS
SELECT
    run_id,
    layer,
    count(*) AS n_features,
    count(*) FILTER (WHERE is_adapted) AS n_adapted,
    count(*) FILTER (WHERE is_spatial_candidate) AS n_spatial_candidates,
    count(*) FILTER (WHERE survives_spatial) AS n_spatial,
    count(*) FILTER (WHERE is_ocr_candidate) AS n_ocr_candidates,
    count(*) FILTER (WHERE survives_ocr) AS n_ocr,
    count(*) FILTER (WHERE firing_rate > 0) AS n_firing,
    avg(cosine) AS mean_cosine,
    avg(cosine) FILTER (WHERE is_adapted) AS mean_cosine_adapted,
    avg(cosine_image) AS mean_cosine_image,
    avg(cosine_full) AS mean_cosine_full,
    avg(cosine_random) AS mean_cosine_random,
    avg(visual_energy) AS mean_visual_energy
FROM atlas.feature_record
GROUP BY run_id, layer;

COMMENT ON VIEW atlas.layer_summary IS 'features counted and averaged per run and layer (A.3)';
