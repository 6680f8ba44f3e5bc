-- the features that would be adapted at other thresholds: E_v above epsilon, and cosine among the
-- lowest share of all features of the run (4.2); those never updated are not
CREATE FUNCTION atlas.adapted_set(
    epsilon double precision,
    cosine_quantile double precision,
    run integer DEFAULT NULL
)
RETURNS TABLE (layer smallint, feature integer)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT record.layer, record.feature
    FROM (SELECT coalesce(run, (SELECT id FROM atlas.current_run)) AS id) AS chosen
    CROSS JOIN LATERAL atlas.cosine_cut(ARRAY[cosine_quantile], chosen.id) AS cut
    JOIN atlas.feature_record AS record
        ON record.run_id = chosen.id
        AND record.cosine <= cut.cosine
        AND record.cosine < 1
        AND record.visual_energy > epsilon
$$;

COMMENT ON FUNCTION atlas.adapted_set(double precision, double precision, integer) IS
    'features adapted at these thresholds: visual energy above epsilon, cosine in the bottom share; '
    'of the current run unless another is named (4.2)';
