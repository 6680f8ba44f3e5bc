-- one row per execution of a stage: where the numbers of a run come from. Every fact row has the
-- measurement_id of its own.
CREATE VIEW atlas.provenance AS
SELECT
    measurement.id AS measurement_id,
    measurement.run_id,
    run.slug,
    run.state,
    measurement.stage,
    measurement.params,
    measurement.seeds,
    measurement.device,
    measurement.code_version,
    measurement.dirty,
    measurement.libraries,
    measurement.inputs,
    measurement.input_fingerprint,
    measurement.started_at,
    extract(epoch FROM measurement.finished_at - measurement.started_at)::real AS seconds,
    measurement.rows AS n_rows,
    measurement.checksum,
    measurement.added_at
FROM atlas.measurement
JOIN atlas.run ON run.id = measurement.run_id;

COMMENT ON VIEW atlas.provenance IS
    'where numbers come from: the stage, settings, seeds, code and inputs of every measurement';
COMMENT ON COLUMN atlas.provenance.measurement_id IS
    'the execution; measurement_id of every fact row that it produced';
COMMENT ON COLUMN atlas.provenance.seconds IS 'time it took';
COMMENT ON COLUMN atlas.provenance.n_rows IS 'rows it produced, over all tables';
