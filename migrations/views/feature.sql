-- one row per feature of the current run: where most questions start
CREATE VIEW atlas.feature AS
SELECT *
FROM atlas.feature_all_runs
WHERE run_id = (SELECT id FROM atlas.current_run);

COMMENT ON VIEW atlas.feature IS 'one row per feature of the current run';
