-- one row per removed feature and question: the answer before and after (5.3, D)
CREATE VIEW atlas.ablation_answer AS
SELECT
    outcome.run_id,
    outcome.layer,
    outcome.feature,
    outcome.evaluation,
    outcome.intervention,
    sample.question,
    sample.relation,
    CASE WHEN outcome.label THEN 'yes' ELSE 'no' END AS right_answer,
    CASE WHEN outcome.margin_before > 0 THEN 'yes' ELSE 'no' END AS answer_before,
    CASE WHEN outcome.margin_after > 0 THEN 'yes' ELSE 'no' END AS answer_after,
    (outcome.margin_before > 0) = outcome.label AS is_right_before,
    (outcome.margin_after > 0) = outcome.label AS is_right_after,
    outcome.margin_before,
    outcome.margin_after,
    outcome.margin_mean_image,
    outcome.margin_no_image,
    outcome.sample_id,
    sample.image_id,
    image.uri AS image_uri
FROM atlas.ablation_outcome AS outcome
JOIN atlas.sample ON sample.id = outcome.sample_id
JOIN atlas.image ON image.id = sample.image_id;

COMMENT ON VIEW atlas.ablation_answer IS
    'each question answered before and after a feature''s removal (5.3, D)';
COMMENT ON COLUMN atlas.ablation_answer.right_answer IS 'yes or no: what is right';
COMMENT ON COLUMN atlas.ablation_answer.answer_before IS 'yes or no: what it said, untouched';
COMMENT ON COLUMN atlas.ablation_answer.answer_after IS
    'yes or no: what it said, the feature removed';
COMMENT ON COLUMN atlas.ablation_answer.is_right_before IS 'whether it was right, untouched';
COMMENT ON COLUMN atlas.ablation_answer.is_right_after IS
    'whether it was right, the feature removed';
COMMENT ON COLUMN atlas.ablation_answer.image_uri IS 'where the image file is';
