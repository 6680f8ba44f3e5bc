-- every description that counts now, of published runs: what explainers wrote, unless the newest
-- review rejects it or words it anew; then the reviewer's words. A feature may have several.
CREATE VIEW atlas.description AS
WITH opinion AS (
    SELECT DISTINCT ON (run_id, layer, feature) run_id, layer, feature, verdict, description
    FROM atlas.review
    ORDER BY run_id, layer, feature, created_at DESC, id DESC
)
SELECT
    said.run_id,
    said.layer,
    said.feature,
    'auto_interp' AS source,
    said.description,
    said.f1
FROM atlas.auto_interp AS said
WHERE said.description <> '(no readable description)'
    AND NOT EXISTS (
        SELECT
        FROM opinion
        WHERE opinion.run_id = said.run_id
            AND opinion.layer = said.layer
            AND opinion.feature = said.feature
            AND (opinion.verdict = 'reject' OR opinion.description IS NOT NULL)
    )
UNION ALL
SELECT run_id, layer, feature, 'review', description, NULL::real
FROM opinion
WHERE verdict <> 'reject' AND description IS NOT NULL;

COMMENT ON VIEW atlas.description IS
    'every description of a feature that no review has overruled, and the reviewers'' own (5.1)';
COMMENT ON COLUMN atlas.description.source IS 'auto_interp: an explainer''s; review: a reviewer''s own';
COMMENT ON COLUMN atlas.description.description IS 'what the feature is said to mean';
COMMENT ON COLUMN atlas.description.run_id IS 'the run this row belongs to';
COMMENT ON COLUMN atlas.description.layer IS
    'decoder layer whose output the SAE reads, 0-based';
COMMENT ON COLUMN atlas.description.feature IS
    'index in the base dictionary; adapted SAEs keep it';
COMMENT ON COLUMN atlas.description.source IS
    'auto_interp: an explainer''s words; review: the newest reviewer''s';
COMMENT ON COLUMN atlas.description.description IS 'what the feature is said to mean';
COMMENT ON COLUMN atlas.description.f1 IS
    'F1 on held-out samples, 1: perfect (B); none for a reviewer''s words';
