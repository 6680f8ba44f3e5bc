-- one row per warning of a run: what a reader of its numbers must know
CREATE VIEW atlas.run_warning AS
SELECT
    measurement.run_id,
    run.slug,
    measurement.stage,
    row_number() OVER (
        PARTITION BY measurement.run_id
        ORDER BY measurement.started_at, measurement.id, said.number
    )::integer AS warning_no,
    said.warning
FROM atlas.measurement
JOIN atlas.run ON run.id = measurement.run_id
CROSS JOIN LATERAL unnest(measurement.warnings) WITH ORDINALITY AS said (warning, number);

COMMENT ON VIEW atlas.run_warning IS
    'what the stages of a run warned of: a reader of their numbers must know it';
COMMENT ON COLUMN atlas.run_warning.warning_no IS 'place in the order of execution; 1: the first';
COMMENT ON COLUMN atlas.run_warning.warning IS 'one sentence or more';
