-- one row per change of a feature between two runs: beyond both 95 % intervals where a measure has
-- one (odds ratios, removals of one relation), beyond a threshold where it has none (cosine,
-- energy), another label, or a set that the feature entered or left
CREATE FUNCTION atlas.run_drift(
    before integer,
    after integer,
    cosine_threshold double precision DEFAULT 0.1,
    energy_factor double precision DEFAULT 2,
    energy_floor double precision DEFAULT 0.001
)
RETURNS TABLE (
    kind text,
    layer smallint,
    feature integer,
    value_before real,
    value_after real,
    change real,
    label_before text,
    label_after text
)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT
        drift.kind,
        drift.layer,
        drift.feature,
        drift.value_before,
        drift.value_after,
        CASE
            WHEN drift.kind IN ('cosine', 'ablation') THEN drift.value_after - drift.value_before
            WHEN drift.kind = 'visual_energy' THEN
                -- a floor of 0 leaves no logarithm of an energy of 0
                ln(nullif(drift.value_after + energy_floor, 0))
                - ln(nullif(drift.value_before + energy_floor, 0))
            WHEN drift.kind IN ('spatial_odds_ratio', 'ocr_odds_ratio') THEN
                ln(nullif(drift.value_after, 0)::double precision)
                - ln(nullif(drift.value_before, 0)::double precision)
        END::real,
        CASE WHEN drift.kind = 'label' THEN drift.label_before END,
        CASE WHEN drift.kind = 'label' THEN drift.label_after END
    FROM (
        SELECT
            changed.kind,
            diff.layer,
            diff.feature,
            CASE changed.kind
                WHEN 'cosine' THEN diff.cosine_before
                WHEN 'visual_energy' THEN diff.visual_energy_before
                WHEN 'spatial_odds_ratio' THEN diff.spatial_odds_ratio_before
                WHEN 'ocr_odds_ratio' THEN diff.ocr_odds_ratio_before
                WHEN 'ablation' THEN diff.ablation_delta_before
            END AS value_before,
            CASE changed.kind
                WHEN 'cosine' THEN diff.cosine_after
                WHEN 'visual_energy' THEN diff.visual_energy_after
                WHEN 'spatial_odds_ratio' THEN diff.spatial_odds_ratio_after
                WHEN 'ocr_odds_ratio' THEN diff.ocr_odds_ratio_after
                WHEN 'ablation' THEN diff.ablation_delta_after
            END AS value_after,
            diff.label_before,
            diff.label_after
        FROM (
            SELECT diff.*, array_remove(ARRAY[
                CASE WHEN abs(diff.cosine_delta) > cosine_threshold THEN 'cosine' END,
                CASE
                    WHEN diff.visual_energy_after + energy_floor
                        > energy_factor * (diff.visual_energy_before + energy_floor)
                    OR diff.visual_energy_before + energy_floor
                        > energy_factor * (diff.visual_energy_after + energy_floor)
                    THEN 'visual_energy'
                END,
                CASE
                    WHEN diff.spatial_odds_ratio_low_after > diff.spatial_odds_ratio_high_before
                    OR diff.spatial_odds_ratio_high_after < diff.spatial_odds_ratio_low_before
                    THEN 'spatial_odds_ratio'
                END,
                CASE
                    WHEN diff.ocr_odds_ratio_low_after > diff.ocr_odds_ratio_high_before
                    OR diff.ocr_odds_ratio_high_after < diff.ocr_odds_ratio_low_before
                    THEN 'ocr_odds_ratio'
                END,
                CASE
                    WHEN diff.ablation_relation_before
                        IS NOT DISTINCT FROM diff.ablation_relation_after
                    AND (
                        diff.ablation_low_after > diff.ablation_high_before
                        OR diff.ablation_high_after < diff.ablation_low_before
                    )
                    THEN 'ablation'
                END,
                CASE WHEN diff.label_before <> diff.label_after THEN 'label' END,
                CASE
                    WHEN diff.is_adapted_after AND NOT diff.is_adapted_before THEN 'newly_adapted'
                    WHEN diff.is_adapted_before AND NOT diff.is_adapted_after
                    THEN 'no_longer_adapted'
                END,
                CASE
                    WHEN diff.survives_spatial_after AND NOT diff.survives_spatial_before
                    THEN 'newly_spatial'
                    WHEN diff.survives_spatial_before AND NOT diff.survives_spatial_after
                    THEN 'no_longer_spatial'
                END,
                CASE
                    WHEN diff.survives_ocr_after AND NOT diff.survives_ocr_before THEN 'newly_ocr'
                    WHEN diff.survives_ocr_before AND NOT diff.survives_ocr_after
                    THEN 'no_longer_ocr'
                END
            ], NULL) AS kinds
            FROM atlas.run_diff(before, after) AS diff
        ) AS diff
        CROSS JOIN LATERAL unnest(diff.kinds) AS changed (kind)
        -- most features have none: not to unnest theirs saves a quarter of the time
        WHERE diff.kinds <> '{}'
    ) AS drift
$$;

COMMENT ON FUNCTION atlas.run_drift(
    integer, integer, double precision, double precision, double precision
) IS
    'features that changed between two runs, one row per kind of change: beyond both 95 % '
    'intervals, beyond a threshold, another label, or a set entered or left';
