-- adapted features of the current run that fire more on spatial questions and survive neutral
-- prompts (4.3)
CREATE VIEW atlas.spatial AS
SELECT *
FROM atlas.feature
WHERE survives_spatial;

COMMENT ON VIEW atlas.spatial IS 'spatial features of the current run (4.3)';
