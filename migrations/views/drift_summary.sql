-- how many features changed, per report, layer and kind of change
CREATE VIEW atlas.drift_summary AS
SELECT run_id, against_run_id, layer, kind, count(*) AS n_features
FROM atlas.drift
GROUP BY run_id, against_run_id, layer, kind;

COMMENT ON VIEW atlas.drift_summary IS
    'features that changed, counted per drift report, layer and kind of change';
COMMENT ON COLUMN atlas.drift_summary.n_features IS 'features of the layer that changed so';
COMMENT ON COLUMN atlas.drift_summary.run_id IS 'the later run';
COMMENT ON COLUMN atlas.drift_summary.against_run_id IS 'the run it was compared with';
COMMENT ON COLUMN atlas.drift_summary.layer IS
    'decoder layer whose output the SAE reads, 0-based';
COMMENT ON COLUMN atlas.drift_summary.kind IS 'what changed; see drift.kind';
COMMENT ON COLUMN atlas.drift_summary.n_features IS 'features of the layer that changed so';
