"""The labels of a run in the form of Delphi's results, for its own analysis and plots.

The atlas keeps how many examples were told right and wrong, not the examples: each count becomes
that many entries without tokens, from which Delphi's analysis computes the same confusion.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine

from feature_atlas.etl.bridges.delphi_files import file_name
from feature_atlas.etl.bridges.export_rows import stream
from feature_atlas.etl.bridges.export_target import new_folder
from feature_atlas.etl.bridges.exported_run import ExportedRun, open_exported


class DelphiFolder(NamedTuple):
    """What an export wrote."""

    folder: Path
    n_explanations: int
    n_scores: int


class Counts(NamedTuple):
    """How a description told examples apart."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int
    n_failed: int
    """Of the wrong ones, those without a readable answer."""


def export_delphi(engine: Engine, named: str, target: Path) -> DelphiFolder:
    """Write each feature's best description and its scores into a new folder."""
    described, n_scores, models = set(), 0, set()
    with open_exported(engine, named) as (connection, run), new_folder(target) as folder:
        (folder / "explanations").mkdir()
        for layer, feature, description, model, scorer, *counts in stream(
            connection, LABELS, {"run": run.id}
        ):
            name = file_name(layer, feature)
            _write_json(folder / "explanations" / name, description)
            scores = folder / "scores" / (scorer or "detection")
            _write_json(scores / name, list(_examples(Counts(*counts))))
            described.add(name)
            models.add(model)
            n_scores += 1
        _write_json(folder / "run_config.json", _config(run, sorted(models)))
    return DelphiFolder(target, len(described), n_scores)


def _config(run: ExportedRun, models: list[str]) -> dict[str, Any]:
    return {
        "model": run.vlm,
        "sparse_model": run.slug,
        "hookpoints": [f"layers.{layer}" for layer in run.layers],
        "explainer_model": ", ".join(models),
        "name": run.slug,
    }


def _examples(counts: Counts) -> Iterator[dict[str, Any]]:
    """As many entries as were counted; failures are among the misses, then the false alarms."""
    n_failed_firing = min(counts.n_failed, counts.false_negative)
    n_failed_silent = counts.n_failed - n_failed_firing
    for is_firing, answer, n in (
        (True, True, counts.true_positive),
        (True, False, counts.false_negative - n_failed_firing),
        (True, None, n_failed_firing),
        (False, True, counts.false_positive - n_failed_silent),
        (False, None, n_failed_silent),
        (False, False, counts.true_negative),
    ):
        for _ in range(n):
            yield {
                "str_tokens": [],
                "activations": [],
                "distance": None,
                "activating": is_firing,
                "prediction": answer,
                "probability": None,
                "correct": None if answer is None else answer == is_firing,
            }


def _write_json(file: Path, value: Any) -> None:
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_text(json.dumps(value), encoding="utf-8")


# the best description of each feature, with each scorer's count of it
LABELS = """
    WITH best AS (
        SELECT said.layer, said.feature, variant, explainer, model, said.description
        FROM atlas.best_description AS chosen
        JOIN atlas.auto_interp AS said ON said.id = chosen.auto_interp_id
        WHERE chosen.run_id = %(run)s
    )
    SELECT layer, feature, description, model, scorer, true_positive, false_positive,
        false_negative, true_negative, n_failed
    FROM atlas.auto_interp
    JOIN best USING (layer, feature, variant, explainer, model, description)
    WHERE run_id = %(run)s ORDER BY layer, feature, scorer
"""
