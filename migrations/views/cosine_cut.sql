-- how far a feature must have turned to be in the bottom share of a run: it is if its cosine is at
-- most this. One row per share, in rising order; one sort of the run, however many there are.
--
-- A feature's rank is the share of features with a lower cosine, and the bottom share q has the
-- ranks below q: the n_below lowest cosines, where n_below is the first number with
-- n_below / n_features >= q, and all that are equal to the highest of them.
CREATE FUNCTION atlas.cosine_cut(cosine_quantiles double precision[], run integer)
RETURNS TABLE (cosine_quantile double precision, cosine real)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1
AS $$
#variable_conflict use_column
DECLARE
    n_features bigint;
    wrong double precision;
BEGIN
    SELECT q INTO wrong
    FROM unnest(cosine_quantiles) AS q
    WHERE NOT q BETWEEN 0 AND 1
    LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'the cosine quantile is a share, 0 to 1 (25 %% is 0.25); got %', wrong
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT count(*) INTO n_features
    FROM atlas.feature_record
    WHERE run_id = run;
    RETURN QUERY
    WITH wanted AS (
        SELECT q, n_below, row_number() OVER (ORDER BY q) AS place
        FROM (SELECT DISTINCT unnest(cosine_quantiles) AS q) AS distinct_quantile
        CROSS JOIN LATERAL (
            -- floating point: q * n_features may be off by one, the quotients are not
            SELECT min(tried) AS n_below
            FROM generate_series(
                floor(q * n_features)::bigint - 1, floor(q * n_features)::bigint + 2
            ) AS tried
            WHERE tried >= 0 AND tried::double precision / nullif(n_features, 0) >= q
        ) AS first_number
        WHERE n_features > 0
    ),
    sorted AS (
        -- percentile_disc takes the value in place ceil(share * n_features)
        SELECT percentile_disc(
            ARRAY(SELECT greatest(n_below - 0.5, 0) / nullif(n_features, 0) FROM wanted ORDER BY place)
        ) WITHIN GROUP (ORDER BY cosine) AS cosines
        FROM atlas.feature_record
        WHERE run_id = run
    )
    SELECT q, CASE WHEN n_below = 0 THEN '-infinity' ELSE cosines[place::integer] END
    FROM wanted CROSS JOIN sorted
    ORDER BY place;
END
$$;

COMMENT ON FUNCTION atlas.cosine_cut(double precision[], integer) IS
    'cosine at or below which a feature is in the bottom share of a run, for each share (4.2)';
