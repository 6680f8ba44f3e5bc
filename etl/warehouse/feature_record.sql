-- the wide row of every feature, from the run's staged tables; feature_record.py fills in {these}
INSERT INTO {feature_record} ({columns})
SELECT
    text.run_id,
    text.layer,
    text.feature,
    text.cosine,
    text.encoder_cosine,
    text.best_base_feature,
    text.best_base_cosine,
    text.n_firings,
    image.cosine AS cosine_image,
    whole.cosine AS cosine_full,
    random.cosine AS cosine_random,
    refit.cosine AS cosine_refit,
    language.cosine AS cosine_language,
    text.excess_rotation,
    text.rotation_q_value,
    seeds.cosine_sd,
    seeds.n_seeds_adapted,
    seeds.n_seeds_turned_by_vision,
    scaling.scale_text,
    scaling.scale_image,
    energy.energy_question AS visual_energy,
    energy.energy_image,
    energy.energy_question_no_image,
    energy.modality_preference,
    energy.firing_rate,
    selection.is_adapted,
    selection.is_turned_by_vision,
    spatial.delta_p AS spatial_delta_p,
    spatial.odds_ratio AS spatial_odds_ratio,
    spatial.odds_ratio_low AS spatial_odds_ratio_low,
    spatial.odds_ratio_high AS spatial_odds_ratio_high,
    spatial.q_value AS spatial_q_value,
    selection.is_adapted AND coalesce(spatial.is_candidate, false) AS is_spatial_candidate,
    selection.is_adapted AND coalesce(spatial.is_candidate AND spatial_candidate.survives, false)
        AS survives_spatial,
    ocr.delta_p AS ocr_delta_p,
    ocr.odds_ratio AS ocr_odds_ratio,
    ocr.odds_ratio_low AS ocr_odds_ratio_low,
    ocr.odds_ratio_high AS ocr_odds_ratio_high,
    ocr.q_value AS ocr_q_value,
    selection.is_adapted AND coalesce(ocr.is_candidate, false) AS is_ocr_candidate,
    selection.is_adapted AND coalesce(ocr.is_candidate AND ocr_candidate.survives, false)
        AS survives_ocr,
    vsr.odds_ratio AS vsr_odds_ratio
FROM (SELECT * FROM {decoder_cosine} WHERE run_id = {run} AND regime_id = {text}) AS text
JOIN {visual_energy} AS energy USING (run_id, layer, feature)
JOIN {selection} AS selection USING (run_id, layer, feature)
LEFT JOIN {seed_stability} AS seeds USING (run_id, layer, feature)
LEFT JOIN {latent_scaling} AS scaling USING (run_id, layer, feature)
LEFT JOIN (SELECT * FROM {decoder_cosine} WHERE regime_id = {image}) AS image
    USING (run_id, layer, feature)
LEFT JOIN (SELECT * FROM {decoder_cosine} WHERE regime_id = {full}) AS whole
    USING (run_id, layer, feature)
LEFT JOIN (SELECT * FROM {decoder_cosine} WHERE regime_id = {random}) AS random
    USING (run_id, layer, feature)
LEFT JOIN (SELECT * FROM {decoder_cosine} WHERE regime_id = {refit}) AS refit
    USING (run_id, layer, feature)
LEFT JOIN (SELECT * FROM {decoder_cosine} WHERE regime_id = {language}) AS language
    USING (run_id, layer, feature)
LEFT JOIN (SELECT * FROM {firing_shift} WHERE skill_id = {spatial}) AS spatial
    USING (run_id, layer, feature)
LEFT JOIN (SELECT * FROM {firing_shift} WHERE skill_id = {ocr}) AS ocr
    USING (run_id, layer, feature)
LEFT JOIN (SELECT * FROM {firing_shift} WHERE skill_id = {vsr}) AS vsr
    USING (run_id, layer, feature)
LEFT JOIN (SELECT * FROM {candidate} WHERE skill_id = {spatial}) AS spatial_candidate
    USING (run_id, layer, feature)
LEFT JOIN (SELECT * FROM {candidate} WHERE skill_id = {ocr}) AS ocr_candidate
    USING (run_id, layer, feature)
ORDER BY layer, feature
