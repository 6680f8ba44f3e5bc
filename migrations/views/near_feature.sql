-- one row per feature and one of the features of its layer whose directions are nearest (4.2)
CREATE VIEW atlas.near_feature AS
SELECT
    nearest.run_id,
    nearest.layer,
    nearest.feature,
    other.place::integer AS place,
    other.near_feature,
    other.cosine
FROM atlas.nearest_feature AS nearest
CROSS JOIN LATERAL unnest(nearest.features, nearest.cosines)
    WITH ORDINALITY AS other (near_feature, cosine, place);

COMMENT ON VIEW atlas.near_feature IS
    'features of one layer that write nearly the same direction, nearest first (4.2)';
COMMENT ON COLUMN atlas.near_feature.place IS '1: the nearest';
COMMENT ON COLUMN atlas.near_feature.near_feature IS 'the other feature, of the same layer';
COMMENT ON COLUMN atlas.near_feature.cosine IS 'cosine of the two decoder rows';
