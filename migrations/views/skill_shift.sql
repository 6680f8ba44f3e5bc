-- one row per feature and skill, your own skills too: how much more it fires, and how far it got
-- (4.3, A.5). The wide row has the same for spatial and OCR only.
CREATE VIEW atlas.skill_shift AS
SELECT
    shift.run_id,
    skill.name AS skill,
    shift.layer,
    shift.feature,
    selection.is_adapted,
    selection.is_adapted AND shift.is_candidate AS is_candidate,
    selection.is_adapted AND shift.is_candidate AND coalesce(candidate.survives, false) AS survives,
    shift.delta_p,
    shift.odds_ratio,
    shift.odds_ratio_low,
    shift.odds_ratio_high,
    shift.odds_ratio_boot_low,
    shift.odds_ratio_boot_high,
    shift.q_value,
    shift.question_delta_p,
    shift.question_odds_ratio,
    shift.question_odds_ratio_low,
    shift.question_odds_ratio_high,
    shift.role_delta_p,
    shift.role_odds_ratio,
    shift.role_odds_ratio_low,
    shift.role_odds_ratio_high,
    shift.matched_questions,
    shift.matched_delta_p,
    shift.matched_odds_ratio,
    shift.matched_odds_ratio_low,
    shift.matched_odds_ratio_high,
    shift.fired_skill,
    shift.tokens_skill,
    shift.fired_base,
    shift.tokens_base,
    shift.has_zero_cell
FROM atlas.firing_shift AS shift
JOIN atlas.skill ON skill.id = shift.skill_id
JOIN atlas.selection USING (run_id, layer, feature)
LEFT JOIN atlas.candidate USING (run_id, skill_id, layer, feature);

COMMENT ON VIEW atlas.skill_shift IS
    'how much more a feature fires on a skill, and whether it is a candidate and survives (4.3)';
COMMENT ON COLUMN atlas.skill_shift.skill IS 'spatial, ocr, vsr, or your own';
COMMENT ON COLUMN atlas.skill_shift.is_candidate IS
    'whether it is adapted and its shift passes the run''s thresholds (4.3)';
COMMENT ON COLUMN atlas.skill_shift.survives IS
    'whether it is such a candidate and still active on neutral prompts (A.6)';
