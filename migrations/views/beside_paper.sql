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
    paper.delta_vqa AS paper_delta_vqa,
    100 * ours.delta_vqa AS our_delta_vqa,
    paper.delta_control AS paper_delta_control,
    100 * ours.control_mean AS our_delta_control,
    paper.vsr_odds_ratio AS paper_odds_ratio,
    ours.odds_ratio AS our_odds_ratio,
    paper.n_samples AS paper_n_samples,
    ours.n_samples AS our_n_samples
FROM atlas.published_result AS paper
CROSS JOIN atlas.run
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
    'accuracy on VSR, after minus before, percentage points, the paper; below 0: the removal hurts';
COMMENT ON COLUMN atlas.beside_paper.our_delta_vsr IS
    'the same in this run; none: not removed here';
COMMENT ON COLUMN atlas.beside_paper.our_delta_vsr_low IS 'lower end of its 95 % interval';
COMMENT ON COLUMN atlas.beside_paper.our_delta_vsr_high IS 'upper end of its 95 % interval';
COMMENT ON COLUMN atlas.beside_paper.paper_delta_vqa IS
    'accuracy on VQA, after minus before, percentage points, the paper';
COMMENT ON COLUMN atlas.beside_paper.our_delta_vqa IS 'the same in this run, on yes/no questions';
COMMENT ON COLUMN atlas.beside_paper.paper_delta_control IS
    'accuracy on VSR, random features of the layer removed, percentage points, the paper';
COMMENT ON COLUMN atlas.beside_paper.our_delta_control IS
    'the same in this run, mean over its controls';
COMMENT ON COLUMN atlas.beside_paper.paper_odds_ratio IS
    'odds of firing, VSR over base, the paper; above 1: fires more';
COMMENT ON COLUMN atlas.beside_paper.our_odds_ratio IS 'the same in this run';
COMMENT ON COLUMN atlas.beside_paper.paper_n_samples IS 'VSR statements in the paper (Table 2)';
COMMENT ON COLUMN atlas.beside_paper.our_n_samples IS 'VSR statements in this run';
