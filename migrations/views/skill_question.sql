-- one row per question that asks for a skill, with the rule that says so: for a check by eye (4.3)
CREATE VIEW atlas.skill_question AS
SELECT
    matched.run_id,
    skill.name AS skill,
    matched.rule,
    dataset.name AS dataset,
    sample.external_id,
    sample.question,
    sample.answer,
    sample.question_type,
    sample.relation,
    matched.sample_id,
    sample.image_id
FROM atlas.sample_skill AS matched
JOIN atlas.skill ON skill.id = matched.skill_id
JOIN atlas.sample ON sample.id = matched.sample_id
JOIN atlas.dataset ON dataset.id = sample.dataset_id;

COMMENT ON VIEW atlas.skill_question IS 'a question that asks for a skill, and by which rule (4.3)';
COMMENT ON COLUMN atlas.skill_question.skill IS 'spatial, ocr, or your own; vsr is every statement';
COMMENT ON COLUMN atlas.skill_question.dataset IS 'the data set and split of the question';
