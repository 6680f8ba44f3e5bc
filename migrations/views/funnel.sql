-- how few features remain, step by step, per run and skill (4.2, 4.3)
CREATE VIEW atlas.funnel AS
SELECT counted.run_id, step.skill, step.step_no, step.step, step.n_features
FROM (
    SELECT
        run_id,
        count(*) AS n_all,
        count(*) FILTER (WHERE is_adapted) AS n_adapted,
        count(*) FILTER (WHERE is_spatial_candidate) AS n_spatial_candidates,
        count(*) FILTER (WHERE survives_spatial) AS n_spatial,
        count(*) FILTER (WHERE is_ocr_candidate) AS n_ocr_candidates,
        count(*) FILTER (WHERE survives_ocr) AS n_ocr
    FROM atlas.feature_record
    GROUP BY run_id
) AS counted
CROSS JOIN LATERAL (
    VALUES
        ('spatial', 1, 'all features', counted.n_all),
        ('spatial', 2, 'adapted', counted.n_adapted),
        ('spatial', 3, 'candidates', counted.n_spatial_candidates),
        ('spatial', 4, 'survive neutral prompts', counted.n_spatial),
        ('ocr', 1, 'all features', counted.n_all),
        ('ocr', 2, 'adapted', counted.n_adapted),
        ('ocr', 3, 'candidates', counted.n_ocr_candidates),
        ('ocr', 4, 'survive neutral prompts', counted.n_ocr)
) AS step (skill, step_no, step, n_features);

COMMENT ON VIEW atlas.funnel IS 'features that remain after each step, per run and skill (4.2, 4.3)';
COMMENT ON COLUMN atlas.funnel.skill IS 'spatial or ocr';
COMMENT ON COLUMN atlas.funnel.step_no IS 'order of the steps, from 1';
COMMENT ON COLUMN atlas.funnel.step IS
    'all features, adapted, candidates, survive neutral prompts';
COMMENT ON COLUMN atlas.funnel.n_features IS 'features that pass this step and those before';
