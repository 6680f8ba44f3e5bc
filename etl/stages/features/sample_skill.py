"""Stage `sample_skill`: which questions ask for which skill, and by which rule (paper 4.3, A.6).

Early in the run, because a filter that matches nothing should not be found after hours of training.
Table `sample_skill` is sparse: a row where a rule matched. Later stages read it from here.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, read_rows, run_stage
from feature_atlas.etl.stages.features.skills import (
    SPLITS,
    VSR,
    asked_among,
    matched_rules,
    require_usable,
    skills_of,
)
from feature_atlas.etl.study import Study, open_study
from feature_atlas.features.skill import Skill, has_skill_word


def run_sample_skill(run: Path) -> Stage:
    """The matched rule of every question of every skill; `vsr` is all statements, and left out."""
    study = open_study(run)
    return run_stage(
        run,
        "sample_skill",
        params={"skills": study.config.harvest.definitions},
        reads=["samples"],
        body=lambda output: _write(output, study),
    )


def members_of(study: Study, skill: Skill) -> Bool[Tensor, " sample"]:
    """Which samples of its split ask for a skill, from the finished stage."""
    samples = study.samples[SPLITS[skill.dataset]]
    if skill == VSR:
        return torch.ones(len(samples), dtype=torch.bool)
    first = study.first_number[SPLITS[skill.dataset]]
    rows = read_rows(study.run, "sample_skill", "sample_skill")
    found = torch.zeros(len(samples), dtype=torch.bool)
    found[[row["sample"] - first for row in rows if row["skill"] == skill.name]] = True
    return found


def _write(output: StageOutput, study: Study) -> None:
    for skill in skills_of(study).values():
        samples = asked_among(study.samples, skill.dataset)
        rules = matched_rules(skill, samples)
        require_usable(skill, samples, rules)
        _warn(output, skill)
        _write_rules(output, skill, study.first_number[SPLITS[skill.dataset]], rules)


def _warn(output: StageOutput, skill: Skill) -> None:
    marked = [prompt for prompt in skill.neutral_prompts if has_skill_word(skill, prompt)]
    if len(marked) == len(skill.neutral_prompts):
        output.warn(
            f"skill {skill.name}: every one of its {len(marked)} neutral prompts has a word of the "
            "skill, so none can tell a lexical feature from one that sees; add a prompt without."
        )


def _write_rules(
    output: StageOutput, skill: Skill, first: int, rules: Sequence[str | None]
) -> None:
    matched = [(place, rule) for place, rule in enumerate(rules) if rule is not None]
    output.table(
        "sample_skill",
        {
            "skill": [skill.name] * len(matched),
            "sample": np.array([first + place for place, _ in matched], np.int64),
            "rule": [rule for _, rule in matched],
        },
    )
