-- Wilson's 95 % interval of a share, which is sound for few cases and for none or all of them
CREATE FUNCTION atlas.share_interval(hits bigint, n bigint)
RETURNS TABLE (low double precision, high double precision)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT
        CASE WHEN hits = 0 THEN 0 ELSE (middle - reach) / (1 + z2 / n) END,
        CASE WHEN hits = n THEN 1 ELSE (middle + reach) / (1 + z2 / n) END
    FROM (
        SELECT
            z2,
            share + z2 / (2 * n) AS middle,
            sqrt(z2 * (share * (1 - share) / n + z2 / (4.0 * n * n))) AS reach
        FROM (SELECT 3.841459 AS z2, hits / nullif(n, 0)::double precision AS share) AS given
    ) AS terms
    WHERE n > 0
$$;

COMMENT ON FUNCTION atlas.share_interval IS
    'Wilson''s 95 % interval of a share of n cases; no row for none';
