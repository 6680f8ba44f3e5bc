"""Stage `firing_shift`: which features a skill's questions recruit (paper 4.3, A.5, A.6).

Every skill's questions against the rest of the VQA base. One more split, `vsr`, is all VSR
statements against the whole base: one reading of the paper's "VSR OR" (5.3). The other reading,
spatial questions against the rest of VQA, is the skill `spatial`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.stages.features.shift_counts import LayerShift, measured_skills, read_counts
from feature_atlas.etl.study import Study, open_study
from feature_atlas.features.firing_counts import FiringCounts
from feature_atlas.features.firing_shift import FiringShift, firing_shift
from feature_atlas.features.selection import candidates
from feature_atlas.features.shift_control import (
    LengthMatched,
    clustered_interval,
    length_matched,
    role_matched,
)
from feature_atlas.features.skill import Skill
from feature_atlas.statistics.uncertainty import Interval

THRESHOLDS = {"min_delta_p", "min_odds_ratio", "interval", "min_fired", "max_q"}
"""What of the configuration decides over candidates."""
LOW = {"bootstrap": "odds_ratio_boot_low", "woolf": "odds_ratio_low"}
"""The column that a configured interval is judged by."""
FEW_MATCHED = 0.5
"""Share of a skill's questions below which the reader is told how few have a partner."""


def run_firing_shift(run: Path) -> Stage:
    """One row per skill, layer and feature."""
    study = open_study(run)
    config = study.config.selection
    return run_stage(
        run,
        "firing_shift",
        params=config.model_dump(include=THRESHOLDS),
        reads=["harvest"],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    skills = measured_skills(study)
    ends: dict[str, list[Interval]] = {skill.name: [] for skill in skills}
    layers: list[LayerShift] = []
    for layer in study.layers:  # replicates are large: one layer's at a time
        counted = read_counts(study, layer)
        for skill in skills:
            ends[skill.name].append(_interval(skill, counted))
        layers.append(counted._replace(replicates={}))
    for skill in skills:
        interval = Interval(*(np.concatenate(end) for end in zip(*ends[skill.name], strict=True)))
        _write_skill(output, study, skill, layers, interval)


def _write_skill(
    output: StageOutput, study: Study, skill: Skill, layers: list[LayerShift], interval: Interval
) -> None:
    text = [layer.text for layer in layers]
    asked = [layer.question for layer in layers]
    shift = firing_shift([c[skill.name] for c in text], [_rest(skill, c) for c in text])
    by_role = role_matched([c[skill.name] for c in asked], [_rest(skill, c) for c in asked])
    n, d_sae = len(shift.delta_p), len(shift.delta_p) // len(study.layers)
    output.table(
        "firing_shift",
        {
            "skill": [skill.name] * n,
            "layer": np.repeat(np.array(study.layers, np.int16), d_sae),
            "feature": np.tile(np.arange(d_sae, dtype=np.int32), len(study.layers)),
            **shift._asdict(),
            "odds_ratio_boot_low": interval.low,
            "odds_ratio_boot_high": interval.high,
            **by_role._asdict(),
            **_by_length(output, skill, text, n),
            "is_candidate": _chosen(study, skill, shift, interval),
        },
    )


def _interval(skill: Skill, layer: LayerShift) -> Interval:
    """Ends of the token odds ratio's interval, with images resampled."""
    drawn = layer.replicates
    base = drawn["base"].minus(drawn[skill.name]) if skill.dataset == "vqav2" else drawn["base"]
    rest = _rest(skill, layer.text)
    return clustered_interval(layer.text[skill.name], rest, drawn[skill.name], base)


def _rest(skill: Skill, counts: dict[str, FiringCounts]) -> FiringCounts:
    """The base without the skill's questions; those of other data sets are not among it."""
    base = counts["base"]
    return base.minus(counts[skill.name]) if skill.dataset == "vqav2" else base


def _by_length(
    output: StageOutput, skill: Skill, text: Sequence[dict[str, FiringCounts]], n: int
) -> Mapping[str, Any]:
    """The length-matched columns; shares are missing when no question has a partner."""
    matched = [c[f"{skill.name}.matched"] for c in text]
    n_matched, n_asked = int(matched[0].questions), int(text[0][skill.name].questions)
    if n_matched < FEW_MATCHED * n_asked:
        output.warn(
            f"skill {skill.name}: {n_matched} of {n_asked} questions have a length-matched partner "
            "among the others; the matched columns speak of these alone."
        )
    if n_matched == 0:  # every count is 0, and no share is defined
        is_share = {name: "odds" in name or "delta" in name for name in LengthMatched._fields}
        return {
            name: pa.nulls(n, pa.float64()) if share else np.zeros(n, np.int64)
            for name, share in is_share.items()
        }
    return length_matched(matched, [c[f"{skill.name}.control"] for c in text])._asdict()


def _chosen(study: Study, skill: Skill, shift: FiringShift, interval: Interval) -> np.ndarray:
    """The candidates, judged by the configured interval of the token odds ratio."""
    config = study.config.selection
    low = interval.low if config.interval == "bootstrap" else shift.odds_ratio_low
    return candidates(
        shift._replace(odds_ratio_low=low),
        min_delta_p=config.min_delta_p,
        min_odds_ratio=config.min_odds_ratio,
        min_fired=config.min_fired if skill.min_fired is None else skill.min_fired,
        max_q=config.max_q,
    )
