-- one row per feature of every published or superseded run: the stored wide row, and beside it
-- what can still change: the label (a reviewer's word, else the best description) and the removal
CREATE VIEW atlas.feature_all_runs AS
SELECT
    record.*,
    CASE
        WHEN opinion.verdict = 'reject' THEN NULL
        ELSE coalesce(opinion.description, opinion.judged, best.description)
    END AS label,
    CASE
        WHEN opinion.verdict IS NOT NULL THEN 'review'
        WHEN best.is_imported THEN 'imported'
        WHEN best.description IS NOT NULL THEN 'auto_interp'
    END AS label_source,
    best.f1,
    best.is_informative AS label_is_informative,
    removal.relation AS ablation_relation,
    removal.delta_accuracy AS ablation_delta,
    removal.delta_low AS ablation_low,
    removal.delta_high AS ablation_high
FROM atlas.feature_record AS record
LEFT JOIN atlas.best_description AS best USING (run_id, layer, feature)
LEFT JOIN (
    SELECT DISTINCT ON (run_id, layer, feature)
        run_id, layer, feature, verdict, description, judged
    FROM atlas.review
    ORDER BY run_id, layer, feature, created_at DESC, id DESC
) AS opinion USING (run_id, layer, feature)
LEFT JOIN atlas.ablation AS removal
    ON removal.run_id = record.run_id
    AND removal.layer = record.layer
    AND removal.feature = record.feature
    AND removal.evaluation = 'vsr_relation'
    AND removal.intervention = 'directional'
    AND removal.control_no = 0;

COMMENT ON VIEW atlas.feature_all_runs IS
    'one row per feature and run: feature_record, its live label and its removal';
COMMENT ON COLUMN atlas.feature_all_runs.label IS
    'what it means: the newest reviewer''s word, else the best description (best_description); '
    'none: not described, or rejected';
COMMENT ON COLUMN atlas.feature_all_runs.label_source IS
    'review: a person has judged the label; auto_interp: nobody has yet; imported: nobody has, and '
    'others wrote it';
COMMENT ON COLUMN atlas.feature_all_runs.f1 IS
    'F1 of its best description on held-out samples; 1: perfect (B)';
COMMENT ON COLUMN atlas.feature_all_runs.label_is_informative IS
    'whether its best description tells firing from silence (label_score); none: not measured';
COMMENT ON COLUMN atlas.feature_all_runs.ablation_relation IS
    'spatial relation of the statements that it was removed on; none: not removed (5.3)';
COMMENT ON COLUMN atlas.feature_all_runs.ablation_delta IS
    'accuracy on these statements, after minus before; below 0: the removal hurts';
COMMENT ON COLUMN atlas.feature_all_runs.ablation_low IS 'lower end of its 95 % interval';
COMMENT ON COLUMN atlas.feature_all_runs.ablation_high IS 'upper end of its 95 % interval';
