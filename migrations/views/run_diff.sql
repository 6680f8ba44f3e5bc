-- one row per feature of either run, the run before beside the run after. NULL on one side: that
-- run has no such feature, or did not measure it.
--
-- One SELECT, so that the planner sees through it: the caller's WHERE, ORDER BY and LIMIT are
-- planned with it, and the joins of labels and removals vanish when no column of theirs is asked
-- for. A label is there once per feature; DISTINCT ON proves it to the planner. A sub-select as
-- argument would hide all that: atlas.run_diff(atlas.run_id('a'), ...) does not.
CREATE FUNCTION atlas.run_diff(before integer, after integer)
RETURNS TABLE (
    layer smallint,
    feature integer,
    label_before text,
    label_after text,
    cosine_before real,
    cosine_after real,
    cosine_delta real,
    visual_energy_before real,
    visual_energy_after real,
    visual_energy_delta real,
    is_adapted_before boolean,
    is_adapted_after boolean,
    spatial_odds_ratio_before real,
    spatial_odds_ratio_low_before real,
    spatial_odds_ratio_high_before real,
    spatial_odds_ratio_after real,
    spatial_odds_ratio_low_after real,
    spatial_odds_ratio_high_after real,
    survives_spatial_before boolean,
    survives_spatial_after boolean,
    ocr_odds_ratio_before real,
    ocr_odds_ratio_low_before real,
    ocr_odds_ratio_high_before real,
    ocr_odds_ratio_after real,
    ocr_odds_ratio_low_after real,
    ocr_odds_ratio_high_after real,
    survives_ocr_before boolean,
    survives_ocr_after boolean,
    ablation_relation_before text,
    ablation_relation_after text,
    ablation_delta_before real,
    ablation_low_before real,
    ablation_high_before real,
    ablation_delta_after real,
    ablation_low_after real,
    ablation_high_after real
)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT
        layer,
        feature,
        old_label.label,
        new_label.label,
        old.cosine,
        new.cosine,
        new.cosine - old.cosine,
        old.visual_energy,
        new.visual_energy,
        new.visual_energy - old.visual_energy,
        old.is_adapted,
        new.is_adapted,
        old.spatial_odds_ratio,
        old.spatial_odds_ratio_low,
        old.spatial_odds_ratio_high,
        new.spatial_odds_ratio,
        new.spatial_odds_ratio_low,
        new.spatial_odds_ratio_high,
        old.survives_spatial,
        new.survives_spatial,
        old.ocr_odds_ratio,
        old.ocr_odds_ratio_low,
        old.ocr_odds_ratio_high,
        new.ocr_odds_ratio,
        new.ocr_odds_ratio_low,
        new.ocr_odds_ratio_high,
        old.survives_ocr,
        new.survives_ocr,
        old_removal.relation,
        new_removal.relation,
        old_removal.delta_accuracy,
        old_removal.delta_low,
        old_removal.delta_high,
        new_removal.delta_accuracy,
        new_removal.delta_low,
        new_removal.delta_high
    FROM (SELECT * FROM atlas.feature_record WHERE run_id = before) AS old
    FULL JOIN (SELECT * FROM atlas.feature_record WHERE run_id = after) AS new
        USING (layer, feature)
    LEFT JOIN (
        SELECT DISTINCT ON (layer, feature) layer, feature, label
        FROM atlas.feature_label
        WHERE run_id = before
    ) AS old_label USING (layer, feature)
    LEFT JOIN (
        SELECT DISTINCT ON (layer, feature) layer, feature, label
        FROM atlas.feature_label
        WHERE run_id = after
    ) AS new_label USING (layer, feature)
    LEFT JOIN (
        SELECT layer, feature, relation, delta_accuracy, delta_low, delta_high
        FROM atlas.ablation
        WHERE run_id = before AND evaluation = 'vsr_relation'
            AND intervention = 'directional' AND control_no = 0
    ) AS old_removal USING (layer, feature)
    LEFT JOIN (
        SELECT layer, feature, relation, delta_accuracy, delta_low, delta_high
        FROM atlas.ablation
        WHERE run_id = after AND evaluation = 'vsr_relation'
            AND intervention = 'directional' AND control_no = 0
    ) AS new_removal USING (layer, feature)
$$;

COMMENT ON FUNCTION atlas.run_diff(integer, integer) IS
    'one row per feature of either run: its measures before and after; deltas are after minus '
    'before, NULL where one run has no value';
