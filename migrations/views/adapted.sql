-- features of the current run that see and turned (4.2)
CREATE VIEW atlas.adapted AS
SELECT *
FROM atlas.feature
WHERE is_adapted;

COMMENT ON VIEW atlas.adapted IS 'adapted features of the current run (4.2)';
