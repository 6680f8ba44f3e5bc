-- the paper's Tables 1 and 2 in its columns, each number with its interval and q: the rows as
-- printed, and below them this run's most harmful removals (Table 1: six, Table 2: all), scored on
-- held-out statements and again the paper's way. Deltas are percentage points, probabilities
-- fractions. What the paper does not print is worked out as in published_significance.
CREATE VIEW atlas.paper_table AS
WITH ours AS (
    SELECT
        summary.run_id,
        'this run' AS source,
        layer,
        feature,
        relation,
        summary.delta_vsr,
        summary.delta_vsr_low,
        summary.delta_vsr_high,
        summary.q_value,
        summary.delta_vsr_probability,
        summary.delta_vsr_probability_low,
        summary.delta_vsr_probability_high,
        summary.n_samples
    FROM atlas.ablation_summary AS summary
    UNION ALL
    SELECT
        run_id,
        'this run, the paper''s way',
        layer,
        feature,
        relation,
        delta_accuracy,
        delta_low,
        delta_high,
        q_value,
        probability_delta,
        probability_low,
        probability_high,
        n_samples
    FROM atlas.ablation
    WHERE evaluation = 'vsr_paper' AND intervention = 'directional' AND control_no = 0
),
placed AS (
    SELECT
        ours.*,
        row_number() OVER (
            PARTITION BY ours.run_id, ours.source ORDER BY ours.delta_vsr, ours.layer, ours.feature
        ) AS place,
        beside.delta_vqa,
        beside.delta_vqa_low,
        beside.delta_vqa_high,
        beside.q_value_vqa,
        beside.random_control_mean,
        beside.random_control_low,
        beside.random_control_high,
        firing.statements_odds_ratio,
        firing.statements_odds_ratio_low,
        firing.statements_odds_ratio_high
    FROM ours
    JOIN atlas.ablation_summary AS beside USING (run_id, layer, feature)
    LEFT JOIN atlas.vsr_odds_ratio AS firing USING (run_id, layer, feature)
)
SELECT
    run.id AS run_id,
    paper.table_no,
    'the paper' AS source,
    row_number() OVER (
        PARTITION BY run.id, paper.table_no ORDER BY paper.delta_vsr, paper.layer, paper.feature
    ) AS place,
    paper.layer,
    paper.feature,
    paper.delta_vsr,
    significance.delta_vsr_low,
    significance.delta_vsr_high,
    significance.q_counter AS q_value,
    paper.delta_vsr_probability,
    NULL::double precision AS delta_vsr_probability_low,
    NULL::double precision AS delta_vsr_probability_high,
    paper.delta_vqa,
    NULL::double precision AS delta_vqa_low,
    NULL::double precision AS delta_vqa_high,
    NULL::double precision AS q_value_vqa,
    paper.delta_control,
    NULL::double precision AS delta_control_low,
    NULL::double precision AS delta_control_high,
    paper.vsr_odds_ratio,
    NULL::double precision AS vsr_odds_ratio_low,
    NULL::double precision AS vsr_odds_ratio_high,
    significance.n_samples,
    paper.relations
FROM atlas.published_result AS paper
JOIN atlas.published_significance AS significance USING (table_no, layer, feature)
CROSS JOIN atlas.run
WHERE run.state IN ('published', 'superseded')
UNION ALL
SELECT
    run_id,
    table_no,
    source,
    place,
    layer,
    feature,
    100 * delta_vsr,
    100 * delta_vsr_low,
    100 * delta_vsr_high,
    q_value,
    delta_vsr_probability,
    delta_vsr_probability_low,
    delta_vsr_probability_high,
    100 * delta_vqa,
    100 * delta_vqa_low,
    100 * delta_vqa_high,
    q_value_vqa,
    100 * random_control_mean,
    100 * random_control_low,
    100 * random_control_high,
    statements_odds_ratio,
    statements_odds_ratio_low,
    statements_odds_ratio_high,
    n_samples,
    relation
FROM placed
CROSS JOIN (VALUES (1, 6::bigint), (2, NULL)) AS printed (table_no, n_rows)
WHERE n_rows IS NULL OR place <= n_rows;

COMMENT ON VIEW atlas.paper_table IS
    'the paper''s Tables 1 and 2, as printed and of this run, with intervals and q (5.3, D)';
COMMENT ON COLUMN atlas.paper_table.run_id IS 'the run whose rows stand beside the paper''s';
COMMENT ON COLUMN atlas.paper_table.table_no IS
    'the paper''s table: 1 the most harmful removals, 2 all';
COMMENT ON COLUMN atlas.paper_table.source IS
    'the paper: as printed; this run: on test statements; this run, the paper''s way: on all '
    'statements of the relation, those it was chosen on too';
COMMENT ON COLUMN atlas.paper_table.place IS 'place by delta_vsr in this table and source, from 1';
COMMENT ON COLUMN atlas.paper_table.layer IS 'decoder layer, 0-based';
COMMENT ON COLUMN atlas.paper_table.feature IS
    'index in the base dictionary; only on the same SAEs are equal numbers the same feature';
COMMENT ON COLUMN atlas.paper_table.delta_vsr IS
    'accuracy on VSR, after minus before; below 0: the removal hurts';
COMMENT ON COLUMN atlas.paper_table.delta_vsr_low IS
    'lower end of its 95 % interval; the paper''s: if 5 % of the answers were mended beside';
COMMENT ON COLUMN atlas.paper_table.delta_vsr_high IS 'upper end of that interval';
COMMENT ON COLUMN atlas.paper_table.q_value IS
    'exact McNemar of delta_vsr, Benjamini-Hochberg over the features of the run, or of the '
    'paper''s table (there: if 5 % of the answers were mended beside)';
COMMENT ON COLUMN atlas.paper_table.delta_vsr_probability IS
    'probability of the right answer on VSR, after minus before';
COMMENT ON COLUMN atlas.paper_table.delta_vsr_probability_low IS
    'lower end of its 95 % interval; none: the paper prints nothing to work it out from';
COMMENT ON COLUMN atlas.paper_table.delta_vsr_probability_high IS 'upper end of that interval';
COMMENT ON COLUMN atlas.paper_table.delta_vqa IS
    'accuracy on VQA, after minus before; this run: yes/no questions';
COMMENT ON COLUMN atlas.paper_table.delta_vqa_low IS
    'lower end of its 95 % interval; none: the paper prints no number of questions';
COMMENT ON COLUMN atlas.paper_table.delta_vqa_high IS 'upper end of that interval';
COMMENT ON COLUMN atlas.paper_table.q_value_vqa IS 'q value of delta_vqa';
COMMENT ON COLUMN atlas.paper_table.delta_control IS
    'accuracy on VSR, features drawn uniformly from the layer removed, mean';
COMMENT ON COLUMN atlas.paper_table.delta_control_low IS
    'lower end of its 95 % interval over these features; this run''s are of its test statements';
COMMENT ON COLUMN atlas.paper_table.delta_control_high IS 'upper end of that interval';
COMMENT ON COLUMN atlas.paper_table.vsr_odds_ratio IS
    'odds of firing per token, VSR statements over VQA questions; above 1: fires more';
COMMENT ON COLUMN atlas.paper_table.vsr_odds_ratio_low IS
    'lower end of its 95 % interval, images resampled';
COMMENT ON COLUMN atlas.paper_table.vsr_odds_ratio_high IS 'upper end of that interval';
COMMENT ON COLUMN atlas.paper_table.n_samples IS 'VSR statements evaluated';
COMMENT ON COLUMN atlas.paper_table.relations IS 'spatial relations of the statements';
