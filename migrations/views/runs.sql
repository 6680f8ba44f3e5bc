-- the ledger: one row per run, whatever its state
CREATE VIEW atlas.runs AS
SELECT
    run.id AS run_id,
    run.slug,
    run.state,
    coalesce(run.id = (SELECT id FROM atlas.current_run), false) AS is_current,
    coalesce(run.id = (SELECT id FROM atlas.stable_run), false) AS is_stable,
    run.parent_id,
    parent.slug AS parent,
    vlm.name AS vlm,
    vlm.base_name AS base_model,
    sae_set.name AS sae_set,
    run.n_layers,
    run.d_sae,
    run.n_layers * run.d_sae AS n_features,
    done.n_measurements,
    done.n_added,
    done.n_rows,
    done.seconds,
    run.code_version,
    run.dirty,
    run.created_at,
    run.published_at
FROM atlas.run
JOIN atlas.vlm ON vlm.id = run.vlm_id
JOIN atlas.sae_set ON sae_set.id = run.sae_set_id
LEFT JOIN atlas.run AS parent ON parent.id = run.parent_id
CROSS JOIN LATERAL (
    SELECT
        count(*) AS n_measurements,
        count(added_at) AS n_added,
        coalesce(sum(rows), 0)::bigint AS n_rows,
        coalesce(sum(extract(epoch FROM finished_at - started_at)), 0)::real AS seconds
    FROM atlas.measurement
    WHERE measurement.run_id = run.id
) AS done;

COMMENT ON VIEW atlas.runs IS 'the ledger: every run with its state, its parent and its models';
COMMENT ON COLUMN atlas.runs.run_id IS 'the run; run_id of every fact';
COMMENT ON COLUMN atlas.runs.is_current IS
    'whether it is the newest published run, which feature, adapted, spatial and ocr show';
COMMENT ON COLUMN atlas.runs.is_stable IS
    'whether it is the run that readers are promised to find (stable_run)';
COMMENT ON COLUMN atlas.runs.parent IS 'slug of that run';
COMMENT ON COLUMN atlas.runs.vlm IS 'the vision-language model: repository or path';
COMMENT ON COLUMN atlas.runs.base_model IS 'the language model before it saw images';
COMMENT ON COLUMN atlas.runs.sae_set IS 'the base SAEs it starts from';
COMMENT ON COLUMN atlas.runs.n_features IS 'features over all its layers';
COMMENT ON COLUMN atlas.runs.n_measurements IS 'stages that were executed for it';
COMMENT ON COLUMN atlas.runs.n_added IS
    'of them, how many joined it when it was already published';
COMMENT ON COLUMN atlas.runs.n_rows IS 'rows these stages produced, over all tables';
COMMENT ON COLUMN atlas.runs.seconds IS 'time these stages took together';
