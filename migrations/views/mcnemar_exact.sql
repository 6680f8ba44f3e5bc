-- the exact McNemar test of a pair of counts, for published numbers of which only the counts can be
-- worked out; the rows of table ablation have their own p
CREATE FUNCTION atlas.mcnemar_exact(right_to_wrong bigint, wrong_to_right bigint)
RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT least(1, 2 * sum(factorial(n) / (factorial(k) * factorial(n - k))) / 2::numeric ^ n)
    FROM (SELECT right_to_wrong + wrong_to_right AS n) AS changed
    CROSS JOIN generate_series(0, least(right_to_wrong, wrong_to_right)) AS k
    GROUP BY n
$$;

COMMENT ON FUNCTION atlas.mcnemar_exact(bigint, bigint) IS
    'two-sided exact McNemar p of answers that turned wrong and answers that turned right';
