-- one row per removed feature and bench beside VSR and VQAv2: What'sUp and GQA (5.3)
CREATE VIEW atlas.ablation_bench AS
SELECT
    bench.run_id,
    bench.layer,
    bench.feature,
    bench.evaluation,
    summary.relation,
    summary.description,
    bench.n_samples,
    bench.accuracy_before,
    bench.delta_accuracy,
    bench.delta_low,
    bench.delta_high,
    bench.q_value,
    bench.margin_delta,
    bench.accuracy_mean_image,
    bench.accuracy_no_image,
    summary.delta_vsr,
    summary.delta_vsr_low,
    summary.delta_vsr_high
FROM atlas.ablation AS bench
LEFT JOIN atlas.ablation_summary AS summary USING (run_id, layer, feature)
WHERE bench.evaluation IN ('whatsup', 'gqa')
    AND bench.intervention = 'directional'
    AND bench.control_no = 0;

COMMENT ON VIEW atlas.ablation_bench IS
    'removed features on other benches than VSR: What''sUp and GQA (5.3)';
COMMENT ON COLUMN atlas.ablation_bench.evaluation IS 'the bench: whatsup or gqa';
COMMENT ON COLUMN atlas.ablation_bench.relation IS
    'VSR relation of the feature; the bench asks of every relation it has';
