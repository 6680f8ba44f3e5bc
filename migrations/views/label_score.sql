-- every description with its scores, and whether they say anything. A grader that always answers the
-- same, or that takes any sentence for any other, earns an F1 that looks like something: here it
-- does not beat the shuffled baseline, and its yeses fall as by lot.
CREATE VIEW atlas.label_score AS
SELECT
    id,
    run_id,
    layer,
    feature,
    variant,
    explainer,
    model,
    grader_model,
    scorer,
    description,
    n_positive,
    n_negative,
    n_failed,
    f1,
    shuffled_f1,
    f1 - shuffled_f1 AS f1_gain,
    f1_gain_low,
    f1_gain_high,
    text_only_f1,
    f1 - text_only_f1 AS picture_gain,
    picture_gain_low,
    picture_gain_high,
    balanced_accuracy,
    mcc,
    mcc_low,
    mcc_high,
    chance_p,
    description <> '(no readable description)' AS is_readable,
    f1_gain_low > 0 AND chance_p < 0.05 AS is_informative,
    picture_gain_low > 0 AS needs_picture,
    true_positive + false_positive IN (0, n_positive + n_negative) AS grader_is_constant,
    explainer NOT IN ('openai', 'offline') AS is_imported,
    tokens_used,
    cost_usd,
    measurement_id,
    coherent.accuracy AS intruder_accuracy,
    coherent.accuracy_low AS intruder_accuracy_low,
    coherent.accuracy_high AS intruder_accuracy_high,
    coherent.judge AS intruder_judge
FROM atlas.auto_interp
LEFT JOIN (
    SELECT DISTINCT ON (run_id, layer, feature)
        run_id, layer, feature, judge, accuracy, accuracy_low, accuracy_high
    FROM atlas.intruder
    ORDER BY run_id, layer, feature, judge = 'openai' DESC, judge, model
) AS coherent USING (run_id, layer, feature);

COMMENT ON VIEW atlas.label_score IS
    'every description with its scores, and whether they say anything (5.1, B)';
COMMENT ON COLUMN atlas.label_score.model IS 'the explainer''s model';
COMMENT ON COLUMN atlas.label_score.f1_gain IS
    'F1 beyond that of another feature''s description on the same samples';
COMMENT ON COLUMN atlas.label_score.picture_gain IS
    'F1 beyond that of the same description without pictures';
COMMENT ON COLUMN atlas.label_score.is_readable IS
    'whether the explainer''s reply could be read; false: a failure, counted and no label';
COMMENT ON COLUMN atlas.label_score.is_informative IS
    'whether it tells firing from silence: F1 above the shuffled baseline with its whole 95 % '
    'interval, and yeses not as by lot (chance_p < 0.05); none: not measured';
COMMENT ON COLUMN atlas.label_score.needs_picture IS
    'whether F1 without pictures is lower, with its whole 95 % interval; false: as far as one can '
    'tell the description is about words; none: not measured';
COMMENT ON COLUMN atlas.label_score.grader_is_constant IS
    'whether the grader said the same of every sample';
COMMENT ON COLUMN atlas.label_score.is_imported IS
    'whether others described and scored it; their F1 is over other samples';
COMMENT ON COLUMN atlas.label_score.intruder_accuracy IS
    'of the feature, whatever is said of it: how often the sample of another one is found among four '
    'of its own; 0.2: chance; none: not tried (intruder)';
COMMENT ON COLUMN atlas.label_score.intruder_accuracy_low IS 'lower end of its 95 % interval';
COMMENT ON COLUMN atlas.label_score.intruder_accuracy_high IS 'upper end of its 95 % interval';
COMMENT ON COLUMN atlas.label_score.intruder_judge IS
    'who looked for the intruder; an endpoint before others';
