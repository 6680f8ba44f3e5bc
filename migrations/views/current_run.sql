-- the newest published run: what readers see who do not name a run
CREATE VIEW atlas.current_run AS
SELECT
    run.id,
    run.slug,
    run.config,
    run.config_hash,
    run.parent_id,
    run.code_version,
    run.dirty,
    run.created_at,
    run.published_at,
    run.n_layers,
    run.d_sae,
    vlm.name AS vlm,
    vlm.base_name AS base_model,
    sae_set.name AS sae_set
FROM atlas.run
JOIN atlas.vlm ON vlm.id = run.vlm_id
JOIN atlas.sae_set ON sae_set.id = run.sae_set_id
WHERE run.state = 'published'
ORDER BY run.published_at DESC, run.id DESC
LIMIT 1;

COMMENT ON VIEW atlas.current_run IS 'the newest published run';
COMMENT ON COLUMN atlas.current_run.id IS 'the run; run_id of every fact';
COMMENT ON COLUMN atlas.current_run.vlm IS 'the vision-language model: repository or path';
COMMENT ON COLUMN atlas.current_run.base_model IS 'the language model before it saw images';
COMMENT ON COLUMN atlas.current_run.sae_set IS 'the base SAEs it starts from';
