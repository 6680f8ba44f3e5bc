-- the run that readers are promised to find, whatever is published meanwhile; no row: none is
CREATE VIEW atlas.stable_run AS
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
    sae_set.name AS sae_set,
    promise.created_at AS promised_at
FROM atlas.stable_promise AS promise
JOIN atlas.run ON run.id = promise.run_id
JOIN atlas.vlm ON vlm.id = run.vlm_id
JOIN atlas.sae_set ON sae_set.id = run.sae_set_id;

COMMENT ON VIEW atlas.stable_run IS 'the run that readers are promised to find, at most one';
COMMENT ON COLUMN atlas.stable_run.id IS 'the run; run_id of every fact';
COMMENT ON COLUMN atlas.stable_run.created_at IS 'when written';
COMMENT ON COLUMN atlas.stable_run.vlm IS 'the vision-language model: repository or path';
COMMENT ON COLUMN atlas.stable_run.base_model IS 'the language model before it saw images';
COMMENT ON COLUMN atlas.stable_run.sae_set IS 'the base SAEs it starts from';
COMMENT ON COLUMN atlas.stable_run.promised_at IS 'when it became the stable run';
