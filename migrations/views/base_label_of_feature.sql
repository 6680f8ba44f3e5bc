-- what others say of the base feature that each feature of a run started from: the newest label.
-- Adapted SAEs keep the base index, so the label is of the feature before it was adapted.
CREATE VIEW atlas.base_label_of_feature AS
SELECT
    run.id AS run_id,
    label.layer,
    label.feature,
    label.description AS base_label,
    label.model,
    label.method,
    label.source,
    label.external_id
FROM atlas.run
JOIN atlas.base_label AS label USING (sae_set_id)
WHERE run.state IN ('published', 'superseded')
    AND NOT EXISTS (
        SELECT FROM atlas.base_label AS newer
        WHERE newer.sae_set_id = label.sae_set_id
            AND newer.layer = label.layer
            AND newer.feature = label.feature
            AND newer.id > label.id
    );

COMMENT ON VIEW atlas.base_label_of_feature IS
    'what others say of the base feature, one row per run and labelled feature (5.1)';
COMMENT ON COLUMN atlas.base_label_of_feature.run_id IS 'the run this row belongs to';
COMMENT ON COLUMN atlas.base_label_of_feature.layer IS
    'decoder layer whose output the SAE reads, 0-based';
COMMENT ON COLUMN atlas.base_label_of_feature.feature IS
    'index in the base dictionary; adapted SAEs keep it';
COMMENT ON COLUMN atlas.base_label_of_feature.base_label IS
    'what the base feature is said to mean: the description imported last';
COMMENT ON COLUMN atlas.base_label_of_feature.model IS 'the explainer''s model, if it is known';
COMMENT ON COLUMN atlas.base_label_of_feature.method IS
    'how it was explained, in the source''s words';
COMMENT ON COLUMN atlas.base_label_of_feature.source IS 'where it was imported from';
COMMENT ON COLUMN atlas.base_label_of_feature.external_id IS
    'the source''s own id of the description';
