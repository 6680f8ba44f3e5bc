-- the features of a layer whose directions are within a cone around one feature's, nearest first
-- (4.2). Of each feature the eight nearest are stored; who counts this one among theirs is near,
-- too. Fewer than eight rows: these are all there are.
--
-- The run comes from a sub-select, which Postgres asks once, before it chooses the partition.
CREATE FUNCTION atlas.near(
    of_layer integer,
    of_feature integer,
    cosine_at_least double precision DEFAULT -1,
    n integer DEFAULT 10,
    run integer DEFAULT NULL
)
RETURNS TABLE (layer smallint, feature integer, cosine real)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT of_layer::smallint, found.feature, max(found.cosine)
    FROM (
        SELECT own.near_feature, own.cosine
        FROM atlas.near_feature AS own
        WHERE own.run_id = (SELECT coalesce(run, (SELECT id FROM atlas.current_run)))
            AND own.layer = of_layer
            AND own.feature = of_feature
        UNION ALL
        SELECT other.feature, other.cosines[array_position(other.features, of_feature)]
        FROM atlas.nearest_feature AS other
        WHERE other.run_id = (SELECT coalesce(run, (SELECT id FROM atlas.current_run)))
            AND other.layer = of_layer
            AND of_feature = ANY (other.features)
        OFFSET 0 -- the cosine is looked up in the few rows that are left
    ) AS found (feature, cosine)
    WHERE found.cosine >= cosine_at_least
    GROUP BY found.feature
    ORDER BY max(found.cosine) DESC, found.feature
    LIMIT n
$$;

COMMENT ON FUNCTION atlas.near(integer, integer, double precision, integer, integer) IS
    'the n nearest features of a layer by the cosine of decoder rows, none below cosine_at_least; of '
    'the current run unless another is named. Eight of each are stored, so fewer than eight rows are '
    'all there are (4.2)';
