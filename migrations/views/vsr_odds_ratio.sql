-- one row per feature: the paper's "VSR OR" in both of its readings (4.3, 5.3)
--   statements   VSR statements against all VQA questions (skill vsr)
--   spatial      spatial VQA questions against the other VQA questions (skill spatial)
CREATE VIEW atlas.vsr_odds_ratio AS
SELECT
    run_id,
    layer,
    feature,
    statements.odds_ratio AS statements_odds_ratio,
    statements.odds_ratio_boot_low AS statements_odds_ratio_low,
    statements.odds_ratio_boot_high AS statements_odds_ratio_high,
    statements.question_odds_ratio AS statements_question_odds_ratio,
    spatial.odds_ratio AS spatial_odds_ratio,
    spatial.odds_ratio_boot_low AS spatial_odds_ratio_low,
    spatial.odds_ratio_boot_high AS spatial_odds_ratio_high,
    spatial.question_odds_ratio AS spatial_question_odds_ratio
FROM (
    SELECT shift.* FROM atlas.firing_shift AS shift
    JOIN atlas.skill ON skill.id = shift.skill_id AND skill.name = 'vsr'
) AS statements
FULL JOIN (
    SELECT shift.* FROM atlas.firing_shift AS shift
    JOIN atlas.skill ON skill.id = shift.skill_id AND skill.name = 'spatial'
) AS spatial USING (run_id, layer, feature);

COMMENT ON VIEW atlas.vsr_odds_ratio IS 'the paper''s VSR OR in both readings (4.3, 5.3)';
COMMENT ON COLUMN atlas.vsr_odds_ratio.run_id IS 'the run';
COMMENT ON COLUMN atlas.vsr_odds_ratio.layer IS 'decoder layer, 0-based';
COMMENT ON COLUMN atlas.vsr_odds_ratio.feature IS 'index in the base dictionary';
COMMENT ON COLUMN atlas.vsr_odds_ratio.statements_odds_ratio IS
    'odds of firing per token, VSR statements over all VQA questions';
COMMENT ON COLUMN atlas.vsr_odds_ratio.statements_odds_ratio_low IS
    'lower end of its 95 % interval, images resampled';
COMMENT ON COLUMN atlas.vsr_odds_ratio.statements_odds_ratio_high IS
    'upper end of its 95 % interval, images resampled';
COMMENT ON COLUMN atlas.vsr_odds_ratio.statements_question_odds_ratio IS
    'odds of firing per question, VSR statements over all VQA questions';
COMMENT ON COLUMN atlas.vsr_odds_ratio.spatial_odds_ratio IS
    'odds of firing per token, spatial VQA questions over the others';
COMMENT ON COLUMN atlas.vsr_odds_ratio.spatial_odds_ratio_low IS
    'lower end of its 95 % interval, images resampled';
COMMENT ON COLUMN atlas.vsr_odds_ratio.spatial_odds_ratio_high IS
    'upper end of its 95 % interval, images resampled';
COMMENT ON COLUMN atlas.vsr_odds_ratio.spatial_question_odds_ratio IS
    'odds of firing per question, spatial VQA questions over the others';
