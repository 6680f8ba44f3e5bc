"""What changed between two runs beyond its interval, counted per layer and kept with the later run.

What counts as changed is said once, in `migrations/views/run_drift.sql`; here its rows are counted
and written. Part of the loader (`load.py`): `write_drift` is called when a run was published.
"""

from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, text

from feature_atlas.etl.config.run_config import DriftConfig

KINDS = {
    "cosine": "cosine",
    "visual_energy": "energy",
    "spatial_odds_ratio": "spatial OR",
    "ocr_odds_ratio": "OCR OR",
    "ablation": "ablation",
    "label": "label",
    "newly_adapted": "+adapted",
    "no_longer_adapted": "-adapted",
    "newly_spatial": "+spatial",
    "no_longer_spatial": "-spatial",
    "newly_ocr": "+OCR",
    "no_longer_ocr": "-OCR",
}
"""Every kind of change, and its short name in a table."""


class Drift(NamedTuple):
    """One run compared with another."""

    before: str
    """Slug of the run before."""
    after: str
    """Slug of the later run."""
    same_saes: bool
    """Whether both start from the same SAEs; if not, equal numbers may be unlike features."""
    n_features: int
    """Features that both runs have."""
    n_changed: int
    """Of them, those that changed in any way."""
    counts: dict[tuple[int, str], int]
    """Changed features by layer and kind."""
    top: list[dict[str, Any]]
    """The features that changed in most ways, by distance of their cosines among equals."""


def compare(
    connection: Connection, before: int, after: int, config: DriftConfig, limit: int
) -> Drift:
    """Compare any two published runs; nothing is kept but a temporary table of this transaction."""
    if before == after:
        raise ValueError(f"run {before} was given twice: a comparison needs two runs.")
    pair = {"before": before, "after": after}
    connection.execute(text("DROP TABLE IF EXISTS pg_temp.drifted"))
    connection.execute(text(DRIFTED), {**pair, **config.model_dump()})
    runs = connection.execute(text(RUNS), pair).one()
    totals = connection.execute(text(TOTALS), pair).one()
    counts = connection.execute(text(COUNTS)).all()
    top = connection.execute(text(TOP), {**pair, "limit": limit}).mappings()
    return Drift(
        before=runs.before,
        after=runs.after,
        same_saes=runs.same_saes,
        n_features=totals.n_features,
        n_changed=totals.n_changed,
        counts={(row.layer, row.kind): row.n for row in counts},
        top=[dict(row) for row in top],
    )


def write_drift(engine: Engine, before: int, after: int, config: DriftConfig) -> Drift:
    """Compare and keep the result as the later run's drift report; writing again replaces it."""
    with engine.begin() as connection:
        drift = compare(connection, before, after, config, limit=20)
        values = {"before": before, "after": after, **config.model_dump()}
        totals = {"n_features": drift.n_features, "n_changed": drift.n_changed}
        connection.execute(text(FORGET), {"before": before, "after": after})
        connection.execute(text(REPORT), {**values, **totals})
        connection.execute(text(KEEP), {"before": before, "after": after})
    return drift


def run_before(connection: Connection, run_id: int) -> int | None:
    """The run published last before this one, of the same model and name; None for the first."""
    found: int | None = connection.scalar(text(BEFORE), {"run": run_id})
    return found


def layer_rows(drift: Drift) -> list[dict[str, Any]]:
    """One row per layer, one column per kind that occurs; the last row is their sum."""
    layers = sorted({layer for layer, _ in drift.counts})
    kinds = [kind for kind in KINDS if any(found == kind for _, found in drift.counts)]
    rows: list[dict[str, Any]] = [
        {"layer": layer, **{KINDS[k]: drift.counts.get((layer, k), 0) for k in kinds}}
        for layer in layers
    ]
    return [*rows, {"layer": "all", **{KINDS[k]: sum(r[KINDS[k]] for r in rows) for k in kinds}}]


def headline(drift: Drift) -> str:
    """The comparison in a sentence, with what a reader must know of it."""
    warning = (
        ""
        if drift.same_saes
        else (
            " The runs start from different SAEs: features are compared by number, which means "
            "something only if one set was trained from the other."
        )
    )
    return (
        f"{drift.before} -> {drift.after}: {drift.n_changed:,} of {drift.n_features:,} features "
        f"changed.{warning}"
    )


DRIFTED = """
CREATE TEMPORARY TABLE drifted ON COMMIT DROP AS
SELECT * FROM atlas.run_drift(
    CAST(:before AS integer), CAST(:after AS integer), CAST(:cosine_threshold AS double precision),
    CAST(:energy_factor AS double precision), CAST(:energy_floor AS double precision)
)
"""

RUNS = """
SELECT old.slug AS before, new.slug AS after, old.sae_set_id = new.sae_set_id AS same_saes
FROM atlas.run AS old CROSS JOIN atlas.run AS new WHERE old.id = :before AND new.id = :after
"""

TOTALS = """
SELECT
    (SELECT count(*) FROM atlas.feature_record AS old
     JOIN atlas.feature_record AS new USING (layer, feature)
     WHERE old.run_id = :before AND new.run_id = :after) AS n_features,
    (SELECT count(*) FROM (SELECT DISTINCT layer, feature FROM drifted) AS changed) AS n_changed
"""

COUNTS = "SELECT layer, kind, count(*) AS n FROM drifted GROUP BY layer, kind"

TOP = """
SELECT layer, feature, changes, cosine_before, cosine_after,
       visual_energy_before, visual_energy_after,
       spatial_odds_ratio_before, spatial_odds_ratio_after,
       ablation_delta_before, ablation_delta_after, label_before, label_after
FROM (
    SELECT layer, feature, string_agg(kind, ', ' ORDER BY kind) AS changes, count(*) AS n_changes
    FROM drifted GROUP BY layer, feature
) AS changed
JOIN atlas.run_diff(CAST(:before AS integer), CAST(:after AS integer)) USING (layer, feature)
ORDER BY n_changes DESC, abs(cosine_delta) DESC, layer, feature
LIMIT :limit
"""

FORGET = "DELETE FROM atlas.drift_report WHERE run_id = :after AND against_run_id = :before"

REPORT = """
INSERT INTO atlas.drift_report (run_id, against_run_id, cosine_threshold, energy_factor,
                                energy_floor, n_features, n_changed)
VALUES (:after, :before, :cosine_threshold, :energy_factor, :energy_floor, :n_features, :n_changed)
"""

KEEP = """
INSERT INTO atlas.drift (run_id, against_run_id, kind, layer, feature, value_before, value_after,
                         change, label_before, label_after)
SELECT :after, :before, kind, layer, feature, value_before, value_after, change, label_before,
       label_after
FROM drifted
"""

BEFORE = """
SELECT old.id
FROM atlas.run AS new
JOIN atlas.run AS old
    ON old.vlm_id = new.vlm_id
    AND coalesce(old.config ->> 'name', old.slug) = coalesce(new.config ->> 'name', new.slug)
    AND old.state IN ('published', 'superseded')
    AND (old.published_at, old.id) < (new.published_at, new.id)
WHERE new.id = :run
ORDER BY old.published_at DESC, old.id DESC
LIMIT 1
"""
