"""Explanations and scores made with Delphi, as an added measurement of a published run.

Each scored explanation becomes a row of `auto_interp`, one for each scorer. An answer of the scorer
that could not be read counts as a wrong one and in `n_failed`, as everywhere in the atlas; Delphi's
own F1 leaves it out.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from sqlalchemy import Engine

from feature_atlas.etl.bridges.delphi_files import (
    Latent,
    Scored,
    read_config,
    read_explanations,
    read_scores,
    refuse,
)
from feature_atlas.etl.bridges.exported_run import ExportedRun, open_exported
from feature_atlas.etl.config.run_config import stable_hash
from feature_atlas.etl.run_folder.artifacts import folder_fingerprint
from feature_atlas.etl.run_folder.manifest import MeasurementEntry
from feature_atlas.etl.warehouse.addition import AdditionReport, add_measurement
from feature_atlas.meaning.label_score import balanced_accuracy_of, confusion_of, f1_score
from feature_atlas.statistics.uncertainty import matthews_correlation


class Imported(NamedTuple):
    """What an import did."""

    report: AdditionReport
    """What became of the rows."""
    n_unscored: int
    """Explanations that no scorer has scored: the atlas holds none without a score."""
    n_one_sided: int
    """Scores without firing or without silent examples: always saying yes would win."""


def import_delphi(engine: Engine, named: str, folder: Path) -> Imported:
    """Add everything that a folder of Delphi's results says of a run's features, or nothing.

    Where Delphi went on since the folder was imported, what is new is added as a measurement more.
    """
    config, explanations = read_config(folder), read_explanations(folder)
    with open_exported(engine, named) as (connection, run):
        known = connection.execute(KNOWN, (run.id, stable_hash(config))).fetchall()
    scores = [_of_run(run, scored) for scored in read_scores(folder)]
    rows = [_row(scored, explanations, config) for scored in scores if _has_both(scored)]
    if not rows:
        raise ValueError(
            f"{folder} has no scored explanation: expected explanations/ and scores/detection/ or "
            "scores/fuzz/ with files called <hookpoint>_latent<number>.txt."
        )
    earlier = {(layer, feature, scorer): said for layer, feature, scorer, said, _ in known}
    new = [row for row in rows if _is_new(row, earlier, folder)]
    if new:
        entry = _entry(folder, config, sorted({fingerprint for *_, fingerprint in known}))
        report = add_measurement(
            engine, run.id, entry, {"auto_interp": pa.Table.from_pylist(new, SCHEMA)}
        )
    else:
        report = AdditionReport("already there", run.slug, run.id, [], {})
    n_unscored = len(explanations.keys() - {scored.latent for scored in scores})
    return Imported(report, n_unscored, len(scores) - len(rows))


def _of_run(run: ExportedRun, scored: Scored) -> Scored:
    layer, feature = scored.latent
    if layer not in run.layers:
        raise refuse(scored.file, f"layer {layer} has no SAE; run {run.slug} has {run.layers}")
    if feature >= run.d_sae:
        raise refuse(scored.file, f"feature is {feature}, expected 0 to {run.d_sae - 1}")
    return scored


def _has_both(scored: Scored) -> bool:
    return len({verdict.is_firing for verdict in scored.verdicts}) == 2


def _row(scored: Scored, explanations: dict[Latent, str], config: dict[str, Any]) -> dict[str, Any]:
    """A row of auto_interp."""
    description = explanations.get(scored.latent)
    if description is None:
        raise refuse(scored.file, "scores an explanation that is not in explanations/")
    firing = np.array([verdict.is_firing for verdict in scored.verdicts])
    answers = [verdict.answer for verdict in scored.verdicts]
    confusion = confusion_of(firing, answers)
    return {
        **scored.latent._asdict(),
        "variant": "RAW",
        "explainer": "delphi",
        "model": config["explainer_model"],
        "description": description,
        "n_positive": int(firing.sum()),
        "n_negative": int((~firing).sum()),
        **confusion,
        "f1": float(f1_score(**confusion)),
        "balanced_accuracy": balanced_accuracy_of(**confusion),
        "mcc": float(matthews_correlation(**confusion)),
        "prompt_hash": stable_hash(config),
        "raw_reply": description,
        "tokens_used": 0,
        "n_failed": answers.count(None),
        "scorer": scored.scorer,
    }


def _is_new(row: dict[str, Any], earlier: dict[tuple[Any, ...], str], folder: Path) -> bool:
    """Whether the run has no such score of this Delphi run; another one is an error."""
    place = (row["layer"], row["feature"], row["scorer"])
    if place not in earlier:
        return True
    if earlier[place] != row["description"]:
        raise ValueError(
            f"{folder} explains layer {place[0]} feature {place[1]} otherwise than when it was "
            "imported, with the same run_config.json. What is published never changes: give the "
            "new Delphi run another name or seed. Nothing was added."
        )
    return False


def _entry(folder: Path, config: dict[str, Any], after: list[str]) -> MeasurementEntry:
    """Where the rows come from; Delphi does not say on what it ran.

    ``after``: what was read of this Delphi run before; it tells the measurements apart.
    """
    files = sorted(_read_files(folder))
    fingerprint = folder_fingerprint(files, folder)
    params = {"imported_from": "delphi", "run_config": config}
    if after:
        params["after"] = after
    times = [datetime.fromtimestamp(file.stat().st_mtime, UTC) for file in files]
    seed = config.get("seed")
    return MeasurementEntry(
        stage="auto_interp",
        params=params,
        params_hash=stable_hash(params),
        input_fingerprint=fingerprint,
        inputs={"delphi": fingerprint},
        seeds=[seed] if type(seed) is int else [],
        device="not known",
        libraries={},
        started_at=min(times),
        finished_at=max(times),
    )


def _read_files(folder: Path) -> Iterator[Path]:
    yield folder / "run_config.json"
    for part in ("explanations", "scores"):
        yield from (p for p in (folder / part).rglob("*") if p.is_file())


KNOWN = """
    SELECT interp.layer, interp.feature, interp.scorer, interp.description, made.input_fingerprint
    FROM atlas.auto_interp AS interp JOIN atlas.measurement AS made ON made.id = measurement_id
    WHERE interp.run_id = %s AND interp.explainer = 'delphi' AND interp.prompt_hash = %s
"""

COUNTS = (
    "n_positive",
    "n_negative",
    "true_positive",
    "false_positive",
    "false_negative",
    "true_negative",
    "tokens_used",
    "n_failed",
)

SCHEMA = pa.schema(
    [
        ("layer", pa.int16()),
        ("feature", pa.int32()),
        *((name, pa.string()) for name in ("variant", "explainer", "model", "description")),
        *((name, pa.int64()) for name in COUNTS),
        *((name, pa.float64()) for name in ("f1", "balanced_accuracy", "mcc")),
        *((name, pa.string()) for name in ("prompt_hash", "raw_reply", "scorer")),
    ]
)
