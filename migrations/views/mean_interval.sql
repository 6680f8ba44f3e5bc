-- Student's 95 % interval of a mean, from the standard deviation of its n values. The quantile is the
-- normal one with Cornish and Fisher's terms (Abramowitz and Stegun 26.7.5): within 0.3 % of the
-- right one from 5 values on, below it by a tenth for 3.
CREATE FUNCTION atlas.mean_interval(mean double precision, deviation double precision, n bigint)
RETURNS TABLE (low double precision, high double precision)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT mean - t * deviation / sqrt(n), mean + t * deviation / sqrt(n)
    FROM (SELECT 1.959964 AS z, nullif(greatest(n - 1, 0), 0)::double precision AS d) AS given
    CROSS JOIN LATERAL (
        SELECT z
            + (z ^ 3 + z) / (4 * d)
            + (5 * z ^ 5 + 16 * z ^ 3 + 3 * z) / (96 * d ^ 2)
            + (3 * z ^ 7 + 19 * z ^ 5 + 17 * z ^ 3 - 15 * z) / (384 * d ^ 3) AS t
    ) AS quantile
$$;

COMMENT ON FUNCTION atlas.mean_interval IS
    'Student''s 95 % interval of the mean of n values; NULL for fewer than two';
