-- one row per feature and run that was described or reviewed: the label that counts, as in
-- feature_all_runs, without the features that have none
CREATE VIEW atlas.feature_label AS
SELECT
    run_id,
    layer,
    feature,
    CASE
        WHEN opinion.verdict = 'reject' THEN NULL
        ELSE coalesce(opinion.description, opinion.judged, best.description)
    END AS label
FROM atlas.best_description AS best
FULL JOIN (
    SELECT DISTINCT ON (run_id, layer, feature)
        run_id, layer, feature, verdict, description, judged
    FROM atlas.review
    ORDER BY run_id, layer, feature, created_at DESC, id DESC
) AS opinion USING (run_id, layer, feature);

COMMENT ON VIEW atlas.feature_label IS
    'the label that counts, one row per run and feature that was described or reviewed (5.1)';
COMMENT ON COLUMN atlas.feature_label.run_id IS 'the run this row belongs to';
COMMENT ON COLUMN atlas.feature_label.layer IS
    'decoder layer whose output the SAE reads, 0-based';
COMMENT ON COLUMN atlas.feature_label.feature IS
    'index in the base dictionary; adapted SAEs keep it';
COMMENT ON COLUMN atlas.feature_label.label IS
    'the newest reviewer''s word, else the best description (best_description); none: rejected';
