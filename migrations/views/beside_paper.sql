-- one row per published run and row of the paper's Tables 1 and 2: the same feature's removal there
-- and here, in percentage points. Ours is empty where that feature was not removed; and only a run
-- on the paper's own SAEs (sae_set) has the same features under the same numbers.
CREATE VIEW atlas.beside_paper AS
SELECT
    run.id AS run_id,
    paper.table_no,
    paper.layer,
    paper.feature,
    paper.relations AS paper_relations,
    ours.relation AS our_relation,
    paper.delta_vsr AS paper_delta_vsr,
    100 * ours.delta_vsr AS our_delta_vsr,
    100 * ours.delta_vsr_low AS our_delta_vsr_low,
    100 * ours.delta_vsr_high AS our_delta_vsr_high,
    ours.q_value AS our_q_value,
    100 * replicated.delta_accuracy AS our_delta_vsr_replicated,
    100 * replicated.delta_low AS our_delta_vsr_replicated_low,
    100 * replicated.delta_high AS our_delta_vsr_replicated_high,
    replicated.q_value AS our_q_value_replicated,
    replicated.n_samples AS our_n_samples_replicated,
    paper.delta_vsr_probability AS paper_delta_vsr_probability,
    ours.delta_vsr_probability AS our_delta_vsr_probability,
    paper.delta_vqa AS paper_delta_vqa,
    100 * ours.delta_vqa AS our_delta_vqa,
    100 * ours.delta_vqa_low AS our_delta_vqa_low,
    100 * ours.delta_vqa_high AS our_delta_vqa_high,
    ours.q_value_vqa AS our_q_value_vqa,
    paper.delta_control AS paper_delta_control,
    100 * ours.control_mean AS our_delta_control,
    100 * ours.random_control_mean AS our_delta_random_control,
    ours.control_p AS our_control_p,
    paper.vsr_odds_ratio AS paper_odds_ratio,
    ours.odds_ratio AS our_odds_ratio,
    significance.n_samples AS paper_n_samples,
    significance.p_best AS paper_p_best,
    significance.p_counter AS paper_p_counter,
    significance.is_significant AS paper_is_significant,
    ours.n_samples AS our_n_samples
FROM atlas.published_result AS paper
JOIN atlas.published_significance AS significance USING (table_no, layer, feature)
CROSS JOIN atlas.run
LEFT JOIN atlas.ablation AS replicated
    ON replicated.run_id = run.id
    AND replicated.layer = paper.layer
    AND replicated.feature = paper.feature
    AND replicated.evaluation = 'vsr_paper'
    AND replicated.intervention = 'directional'
    AND replicated.control_no = 0
LEFT JOIN atlas.ablation_summary AS ours
    ON ours.run_id = run.id AND ours.layer = paper.layer AND ours.feature = paper.feature
WHERE run.state IN ('published', 'superseded');

COMMENT ON VIEW atlas.beside_paper IS
    'the paper''s Tables 1 and 2 beside a run: the same features removed there and here (5.3, D)';
COMMENT ON COLUMN atlas.beside_paper.run_id IS 'the run that stands beside the paper';
COMMENT ON COLUMN atlas.beside_paper.paper_relations IS
    'spatial relations of the paper''s statements';
COMMENT ON COLUMN atlas.beside_paper.our_relation IS 'spatial relation of this run''s statements';
COMMENT ON COLUMN atlas.beside_paper.paper_delta_vsr IS
    'accuracy on VSR, after minus before, the paper; below 0: the removal hurts';
COMMENT ON COLUMN atlas.beside_paper.our_delta_vsr IS
    'the same in this run; none: not removed here';
COMMENT ON COLUMN atlas.beside_paper.our_delta_vsr_low IS 'lower end of its 95 % interval';
COMMENT ON COLUMN atlas.beside_paper.our_delta_vsr_high IS 'upper end of its 95 % interval';
COMMENT ON COLUMN atlas.beside_paper.paper_delta_vqa IS
    'accuracy on VQA, after minus before, the paper';
COMMENT ON COLUMN atlas.beside_paper.our_delta_vqa IS 'the same in this run, on yes/no questions';
COMMENT ON COLUMN atlas.beside_paper.paper_delta_control IS
    'accuracy on VSR, random features of the layer removed, the paper';
COMMENT ON COLUMN atlas.beside_paper.our_delta_control IS
    'the same in this run, mean over its matched controls';
COMMENT ON COLUMN atlas.beside_paper.paper_odds_ratio IS
    'odds of firing, VSR over base, the paper; above 1: fires more';
COMMENT ON COLUMN atlas.beside_paper.our_odds_ratio IS 'the same in this run';
COMMENT ON COLUMN atlas.beside_paper.our_q_value IS
    'q value of our_delta_vsr: exact McNemar, Benjamini-Hochberg over the run''s ablated features';
COMMENT ON COLUMN atlas.beside_paper.our_delta_vsr_replicated IS
    'the same the paper''s way: on all statements of the relation, those it was chosen on too';
COMMENT ON COLUMN atlas.beside_paper.our_delta_vsr_replicated_low IS
    'lower end of its 95 % interval';
COMMENT ON COLUMN atlas.beside_paper.our_delta_vsr_replicated_high IS
    'upper end of its 95 % interval';
COMMENT ON COLUMN atlas.beside_paper.our_q_value_replicated IS
    'q value of our_delta_vsr_replicated; chosen and scored on the same statements: too small';
COMMENT ON COLUMN atlas.beside_paper.our_n_samples_replicated IS
    'VSR statements of our_delta_vsr_replicated';
COMMENT ON COLUMN atlas.beside_paper.paper_delta_vsr_probability IS
    'probability of the right answer on VSR, after minus before, the paper (Table 2)';
COMMENT ON COLUMN atlas.beside_paper.our_delta_vsr_probability IS 'the same in this run';
COMMENT ON COLUMN atlas.beside_paper.our_delta_vqa_low IS 'lower end of its 95 % interval';
COMMENT ON COLUMN atlas.beside_paper.our_delta_vqa_high IS 'upper end of its 95 % interval';
COMMENT ON COLUMN atlas.beside_paper.our_q_value_vqa IS 'q value of our_delta_vqa';
COMMENT ON COLUMN atlas.beside_paper.our_delta_random_control IS
    'the same in this run, mean over features drawn uniformly from the layer, as in the paper';
COMMENT ON COLUMN atlas.beside_paper.our_control_p IS
    'share of our matched controls that hurt as much or more, the feature counted in';
COMMENT ON COLUMN atlas.beside_paper.paper_n_samples IS
    'VSR statements in the paper (Table 2; of Table 1, those of the same feature there)';
COMMENT ON COLUMN atlas.beside_paper.paper_p_best IS
    'exact McNemar p of the paper''s row if no answer was mended (published_significance)';
COMMENT ON COLUMN atlas.beside_paper.paper_p_counter IS
    'exact McNemar p of the paper''s row if 5 % of the answers were mended beside';
COMMENT ON COLUMN atlas.beside_paper.paper_is_significant IS 'paper_p_counter below 0.05';
COMMENT ON COLUMN atlas.beside_paper.our_n_samples IS 'VSR statements in this run';
