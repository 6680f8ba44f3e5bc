"""Which runs there are: found by name, with their lineage, their measurements and their rows."""

from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, func, literal, select, text, union_all

from feature_atlas.models import Base


class RunName(NamedTuple):
    """A run that somebody named."""

    id: int
    """The run in the database."""
    slug: str
    """Name of its folder."""
    state: str
    """building, published, superseded or failed."""
    config_hash: str
    """What makes it this run and no other."""
    is_stable: bool = False
    """Whether it is the run that readers are promised to find."""


class RunDescription(NamedTuple):
    """Everything the atlas knows of one run, as rows to print."""

    run: dict[str, Any]
    """The row of `run`, with the names of what was studied."""
    datasets: list[dict[str, Any]]
    """The datasets that its facts refer to."""
    ancestors: list[str]
    """Slugs of the runs it came after, nearest first."""
    descendants: list[str]
    """Slugs of the runs that came after it, nearest first."""
    forward: list[dict[str, Any]]
    """How far each way of running the model is from its own plain forward."""
    measurements: list[dict[str, Any]]
    """Where every number comes from, in order of execution."""
    warnings: list[dict[str, Any]]
    """What the stages warned of, in order of execution."""
    rows: dict[str, int]
    """Rows in every table that holds any."""
    funnel: list[dict[str, Any]]
    """How few features remain, step by step."""


def resolve_run(connection: Connection, named: str) -> RunName:
    """The run of this slug, id or unambiguous start of a slug, or the stable one by that word; an
    error lists what there is."""
    rows = [RunName(*row) for row in connection.execute(text(NAMES))]
    for fits in (
        [run for run in rows if run.slug == named],
        [run for run in rows if str(run.id) == named],
        [run for run in rows if run.is_stable and named == "stable"],
        [run for run in rows if named and run.slug.startswith(named)],
    ):
        if len(fits) == 1:
            return fits[0]
        if fits:
            raise ValueError(
                f"{named!r} names {len(fits)} runs: {_listed(fits)}. Give more of it, or an id."
            )
    raise ValueError(f"no run {named!r}. There are: {_listed(rows)}.")


def published_run(connection: Connection, named: str | None) -> RunName:
    """The published run that somebody named; None: the newest."""
    if named is None:
        found = connection.scalar(text("SELECT slug FROM atlas.current_run"))
        if found is None:
            raise ValueError("no runs yet: `feature-atlas demo` builds the first one.")
        return resolve_run(connection, str(found))
    run = resolve_run(connection, named)
    if run.state not in ("published", "superseded"):
        raise ValueError(
            f"run {run.slug} is {run.state}: only published runs can be asked. Publish it with "
            "`feature-atlas ingest FOLDER`, or name another run (`feature-atlas runs list`)."
        )
    return run


def list_runs(connection: Connection) -> list[dict[str, Any]]:
    """Every run, newest first."""
    return [dict(row) for row in connection.execute(text(RUNS)).mappings()]


def describe_run(connection: Connection, run_id: int) -> RunDescription:
    """Everything of one run; counts rows, which takes a second or two per million features."""

    def rows(sql: str) -> list[dict[str, Any]]:
        return [dict(r) for r in connection.execute(text(sql), {"run": run_id}).mappings()]

    return RunDescription(
        run=rows(RUN)[0],
        datasets=rows(DATASETS),
        ancestors=[row["slug"] for row in rows(ANCESTORS)],
        descendants=[row["slug"] for row in rows(DESCENDANTS)],
        forward=rows(FORWARD),
        measurements=rows(MEASUREMENTS),
        warnings=rows(WARNINGS),
        rows=count_rows(connection, run_id),
        funnel=rows(FUNNEL),
    )


def count_rows(connection: Connection, run_id: int) -> dict[str, int]:
    """Rows of a run by table, where there are any."""
    counts = [
        select(literal(table.name), func.count()).select_from(table).where(table.c.run_id == run_id)
        for table in run_tables()
    ]
    return {name: n for name, n in connection.execute(union_all(*counts)) if n}


def run_tables() -> list[Table]:
    """Tables whose rows belong to a run, measurements apart: its facts, and what people say."""
    return [
        table
        for table in Base.metadata.sorted_tables
        if table.name != "measurement"
        and any(key.parent.name == "run_id" and not key.ondelete for key in table.foreign_keys)
    ]


def _listed(runs: list[RunName]) -> str:
    """Runs for an error message; not hundreds of them."""
    shown = [f"{run.slug} (id {run.id}, {run.state})" for run in runs[:20]]
    more = [f"{len(runs) - 20} more"] if len(runs) > 20 else []
    return ", ".join(shown + more) or "none"


FORWARD = """
SELECT piece, max(difference) AS difference, max(bound) AS bound, max(n_prompts) AS prompts
FROM atlas.forward_check WHERE run_id = :run GROUP BY piece ORDER BY piece
"""

NAMES = """
SELECT id, slug, state, config_hash,
       coalesce(id = (SELECT run_id FROM atlas.stable_promise), false) AS is_stable
FROM atlas.run ORDER BY id DESC
"""

RUNS = """
SELECT slug, run_id AS id, state || CASE WHEN is_stable THEN ', stable' ELSE '' END AS state,
       parent_id AS parent, sae_set AS "SAEs", n_features AS features,
       to_char(created_at, 'YYYY-MM-DD HH24:MI') AS created,
       to_char(published_at, 'YYYY-MM-DD HH24:MI') AS published,
       left(code_version, 12) || CASE WHEN dirty THEN ' dirty' ELSE '' END AS code,
       n_measurements AS measurements, n_added AS added
FROM atlas.runs ORDER BY runs.created_at DESC, run_id DESC
"""

RUN = """
SELECT run.id, run.slug, run.state, run.config, run.config_hash, run.checksum, run.code_version,
       run.dirty, run.created_at, run.published_at, run.n_layers, run.d_sae,
       vlm.name AS vlm, vlm.revision AS vlm_revision, vlm.fingerprint AS vlm_fingerprint,
       vlm.base_name AS base_model, sae_set.name AS sae_set, sae_set.release AS sae_release,
       sae_set.fingerprint AS sae_fingerprint, sae_set.layers
FROM atlas.run
JOIN atlas.vlm ON vlm.id = run.vlm_id
JOIN atlas.sae_set ON sae_set.id = run.sae_set_id
WHERE run.id = :run
"""

DATASETS = """
SELECT DISTINCT dataset.name, dataset.split, dataset.n_samples, dataset.fingerprint
FROM atlas.measurement
CROSS JOIN LATERAL jsonb_each_text(measurement.inputs) AS input (name, fingerprint)
JOIN atlas.dataset ON dataset.name = input.name AND dataset.fingerprint = input.fingerprint
WHERE measurement.run_id = :run
ORDER BY 1, 2
"""

ANCESTORS = """
WITH RECURSIVE line AS (
    SELECT parent_id, 1 AS step FROM atlas.run WHERE id = :run
    UNION ALL
    SELECT run.parent_id, step + 1 FROM line JOIN atlas.run ON run.id = line.parent_id
)
SELECT run.slug FROM line JOIN atlas.run ON run.id = line.parent_id ORDER BY line.step
"""

DESCENDANTS = """
WITH RECURSIVE line AS (
    SELECT id, slug, 1 AS step FROM atlas.run WHERE parent_id = :run
    UNION ALL
    SELECT run.id, run.slug, step + 1 FROM line JOIN atlas.run ON run.parent_id = line.id
)
SELECT slug FROM line ORDER BY step, id
"""

MEASUREMENTS = """
SELECT stage, params, params_hash, input_fingerprint, inputs, seeds, device, code_version, dirty,
       libraries, started_at, finished_at, peak_main_bytes, peak_device_bytes, rows, checksum,
       added_at
FROM atlas.measurement WHERE run_id = :run ORDER BY added_at NULLS FIRST, started_at, id
"""

WARNINGS = """
SELECT stage, warning FROM atlas.run_warning WHERE run_id = :run ORDER BY warning_no
"""

FUNNEL = """
SELECT skill, step, n_features AS features FROM atlas.funnel
WHERE run_id = :run ORDER BY skill DESC, step_no
"""
