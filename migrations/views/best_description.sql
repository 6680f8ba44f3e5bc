-- one row per feature and run that was described: the description that becomes the label unless a
-- reviewer says otherwise. F1 of different scorers is over different samples and not comparable, so
-- it decides last:
--   1. our own, scored as in the paper, before imported ones
--   2. those that tell firing from silence (label_score.is_informative) before those that do not
--   3. of imported ones, detection before fuzzing: it asks about whole samples, as ours does
--   4. the higher F1, then the one that came first
-- What was described from the tokens that a feature writes (OUTPUT) is no label: a label says on what
-- it fires.
CREATE VIEW atlas.best_description AS
SELECT DISTINCT ON (run_id, layer, feature)
    run_id,
    layer,
    feature,
    id AS auto_interp_id,
    description,
    f1,
    is_informative,
    is_imported
FROM atlas.label_score
WHERE is_readable AND variant <> 'OUTPUT'
ORDER BY
    run_id,
    layer,
    feature,
    is_imported,
    is_informative IS TRUE DESC,
    coalesce(scorer <> 'detection', false),
    f1 DESC,
    id;

COMMENT ON VIEW atlas.best_description IS
    'the description of each feature that is its label unless a reviewer says otherwise: our own '
    'before imported ones, informative ones first, then by F1 (5.1)';
COMMENT ON COLUMN atlas.best_description.auto_interp_id IS 'its row in auto_interp';
