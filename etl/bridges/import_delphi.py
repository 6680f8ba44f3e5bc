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
    """Add everything that a folder of Delphi's results says of a run's features, or nothing."""
    with open_exported(engine, named) as (_, run):
        pass
    config, explanations = read_config(folder), read_explanations(folder)
    scores = [_of_run(run, scored) for scored in read_scores(folder)]
    rows = [_row(scored, explanations, config) for scored in scores if _has_both(scored)]
    if not rows:
        raise ValueError(
            f"{folder} has no scored explanation: expected explanations/ and scores/detection/ or "
            "scores/fuzz/ with files called <hookpoint>_latent<number>.txt."
        )
    report = add_measurement(
        engine, run.id, _entry(folder, config), {"auto_interp": pa.Table.from_pylist(rows, SCHEMA)}
    )
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


def _entry(folder: Path, config: dict[str, Any]) -> MeasurementEntry:
    """Where the rows come from; Delphi does not say on what it ran."""
    files = sorted(_read_files(folder))
    fingerprint = folder_fingerprint(files, folder)
    params = {"imported_from": "delphi", "run_config": config}
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
