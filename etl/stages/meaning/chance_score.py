"""Stage `chance_score`: every score beside that of random dictionaries (beside 4 and 5).

The run by chance goes through the stages here, as part of this one; of it only these rows stay.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from feature_atlas.etl.run_folder.artifacts import (
    Stage,
    StageOutput,
    read_arrays,
    read_rows,
    read_table,
    run_stage,
)
from feature_atlas.etl.stages.dictionary.adapt import adapt_stages
from feature_atlas.etl.stages.dictionary.frozen_random import REGIME, STAGE
from feature_atlas.etl.stages.meaning.chance_run import run_by_chance
from feature_atlas.etl.study import Study, open_study
from feature_atlas.statistics.beside_chance import Summary, summary

Scores = dict[str, np.ndarray]
"""A number a feature, or a yes or no; NaN where it has none."""


def run_chance_score(run: Path) -> Stage:
    """A row per score; none without the regime frozen_random."""
    study = open_study(run)
    is_asked = REGIME in study.config.adapt.regimes
    return run_stage(
        run,
        "chance_score",
        params={"is_asked": is_asked},
        reads=["auto_interp", "ablation", "neutral_prompt", *adapt_stages(study, "text")],
        body=lambda output: _write(output, study) if is_asked else None,
    )


def _write(output: StageOutput, study: Study) -> None:
    random = run_by_chance(study)
    random.close()
    open_study.cache_clear()
    judged = read_arrays(random.run, STAGE, "reconstruction")
    ours, theirs = scores_of(study), scores_of(random)
    for name in ("fvu", "l0"):
        ours[name], theirs[name] = judged[name], judged[f"random_{name}"]
    nothing = np.zeros(0)
    names = list(dict.fromkeys([*ours, *theirs]))
    rows = [
        row_of(name, summary(ours.get(name, nothing)), summary(theirs.get(name, nothing)))
        for name in names
    ]
    output.table("chance_score", {name: _column([row[name] for row in rows]) for name in rows[0]})


def scores_of(study: Study) -> Scores:
    """All that the stages of a run say of its features."""
    return _energies(study) | _shifts(study) | _labels(study) | _removals(study)


def row_of(name: str, ours: Summary, theirs: Summary) -> dict[str, Any]:
    """Of one score; what is not known is None."""
    is_known = not np.isnan([ours.low, theirs.low]).any()
    return {
        "score": name,
        **ours._asdict(),
        "n_random": theirs.n,
        **{f"random_{field}": value for field, value in theirs._asdict().items() if field != "n"},
        "is_beyond_chance": ours.low > theirs.high or ours.high < theirs.low if is_known else None,
    }


def _energies(study: Study) -> Scores:
    columns = ["energy_question", "modality_preference", "firing_rate", "fired_question"]
    rows = read_table(study.run, "visual_energy", "visual_energy", columns)
    found = {name: rows[name].to_numpy() for name in columns}
    fired = found.pop("fired_question") > 0
    preference = np.where(fired, found["modality_preference"], np.nan)
    return {
        "visual energy": found["energy_question"],
        "firing rate": found["firing_rate"],
        "modality preference": preference,
    }


def _shifts(study: Study) -> Scores:
    """Of every skill: which features it recruits, by how much, and which of them survive."""
    columns = ["skill", "is_candidate", "odds_ratio"]
    shift = read_table(study.run, "firing_shift", "firing_shift", columns).to_pandas()
    kept = read_rows(study.run, "neutral_prompt", "candidate")
    found: Scores = {}
    for skill in study.config.harvest.skills:
        of_skill = shift[shift.skill == skill]
        is_candidate = of_skill.is_candidate.to_numpy(bool)
        survives = [row["survives"] for row in kept if row["skill"] == skill]
        found[f"{skill}: recruited"] = is_candidate
        found[f"{skill}: log odds ratio of these"] = np.log(
            of_skill.odds_ratio.to_numpy(np.float64)[is_candidate]
        )
        found[f"{skill}: survives neutral prompts"] = np.array(survives, bool)
    return found


def _labels(study: Study) -> Scores:
    rows = [r for r in read_rows(study.run, "auto_interp", "auto_interp") if r["variant"] == "RAW"]
    names = {"F1": "f1", "balanced accuracy": "balanced_accuracy", "Matthews correlation": "mcc"}
    return {name: _numbers([row[column] for row in rows]) for name, column in names.items()}


def _removals(study: Study) -> Scores:
    """Of the paper's removal, on held-out statements of the feature's relation."""
    rows = [
        row
        for row in read_rows(study.run, "ablation", "ablation")
        if row["control_no"] == 0
        and row["evaluation"] == "vsr_relation"
        and row["intervention"] == "directional"
    ]
    return {
        "ablation: change of accuracy": _numbers([row["delta_accuracy"] for row in rows]),
        "ablation: change of margin": _numbers([row["margin_delta"] for row in rows]),
    }


def _numbers(values: list[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _column(values: list[Any]) -> Any:
    """Missing numbers are null."""
    if not any(isinstance(value, float) for value in values):
        return pa.array(values)
    return pa.array([None if value is None or np.isnan(value) else value for value in values])
