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
    count(*) FILTER (WHERE firing_rate = 0 AND energy_image = 0 AND n_firings = 0) AS n_dead,
    avg(cosine) AS mean_cosine,
    avg(cosine) FILTER (WHERE is_adapted) AS mean_cosine_adapted,
    avg(cosine_image) AS mean_cosine_image,
    avg(cosine_full) AS mean_cosine_full,
    avg(cosine_random) AS mean_cosine_random,
    avg(visual_energy) AS mean_visual_energy
FROM atlas.feature_record
GROUP BY run_id, layer;

COMMENT ON VIEW atlas.layer_summary IS 'features counted and averaged per run and layer (A.3)';
COMMENT ON COLUMN atlas.layer_summary.n_features IS 'features of the layer';
COMMENT ON COLUMN atlas.layer_summary.n_adapted IS 'of them, how many are adapted (4.2)';
COMMENT ON COLUMN atlas.layer_summary.n_spatial_candidates IS
    'of them, how many are adapted and fire more on spatial questions (4.3)';
COMMENT ON COLUMN atlas.layer_summary.n_spatial IS
    'of these candidates, how many survive neutral prompts (A.6)';
COMMENT ON COLUMN atlas.layer_summary.n_ocr_candidates IS
    'of them, how many are adapted and fire more on OCR questions (A.5)';
COMMENT ON COLUMN atlas.layer_summary.n_ocr IS
    'of these candidates, how many survive neutral prompts (A.6)';
COMMENT ON COLUMN atlas.layer_summary.n_firing IS
    'of them, how many fired on a question token at least once';
COMMENT ON COLUMN atlas.layer_summary.n_dead IS
    'of them, how many fired on no question token, no image token and no token of text training';
COMMENT ON COLUMN atlas.layer_summary.mean_cosine IS
    'decoder cosine in the text regime, mean; 1: kept, 0: new directions (4.2)';
COMMENT ON COLUMN atlas.layer_summary.mean_cosine_adapted IS 'the same over the adapted features';
COMMENT ON COLUMN atlas.layer_summary.mean_cosine_image IS
    'decoder cosine in the image regime, mean (A.1)';
COMMENT ON COLUMN atlas.layer_summary.mean_cosine_full IS
    'decoder cosine in the full-sequence regime, mean (A.1)';
COMMENT ON COLUMN atlas.layer_summary.mean_cosine_random IS
    'decoder cosine in the random regime, mean: the control (A.1)';
COMMENT ON COLUMN atlas.layer_summary.mean_visual_energy IS
    'visual energy, mean (A.4)';
