-- one row per run and skill: the filter and the prompts as this run had them
CREATE VIEW atlas.skill_definition AS
SELECT
    run.id AS run_id,
    defined.key AS skill,
    defined.value AS definition
FROM atlas.run
CROSS JOIN LATERAL jsonb_each(run.config #> '{harvest,definitions}') AS defined;

COMMENT ON VIEW atlas.skill_definition IS 'what a skill was in a run: filter, words, neutral prompts';
COMMENT ON COLUMN atlas.skill_definition.run_id IS 'the run';
COMMENT ON COLUMN atlas.skill_definition.skill IS 'spatial, ocr, or your own';
COMMENT ON COLUMN atlas.skill_definition.definition IS
    'data set, patterns, exclude, question_types, relations, ids, words, neutral_prompts, counts';
