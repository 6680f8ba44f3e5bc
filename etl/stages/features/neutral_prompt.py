"""Stage `neutral_prompt`: features that are more than the words of the question (paper 4.3).

The question of each candidate's top samples is replaced by neutral prompts. The model replies, and
the prompt with this reply is run on the picture, on the mean image and on another sample's picture:
same words, only the picture differs. Only candidates in the adapted set are asked, and of their
samples as many as the verdict needs (`neutral_evidence`). Between two looks at what was found, what
is asked is a list of shards (`neutral_shard`).
"""

from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.stages.features.neutral_evidence import (
    Asking,
    Evidence,
    open_evidence,
    verdict,
)
from feature_atlas.etl.stages.features.neutral_shard import parts_of, run_part
from feature_atlas.etl.stages.features.skills import skills_of
from feature_atlas.etl.study import Study, open_study
from feature_atlas.features.neutral_prompt import NeutralCounts
from feature_atlas.features.skill import Skill, has_skill_word


def run_neutral_prompt(run: Path) -> Stage:
    """Counts per candidate and prompt, and which candidates survive."""
    study = open_study(run)
    return run_stage(
        run,
        "neutral_prompt",
        params={
            **study.config.neutral.model_dump(),
            "skills": study.config.harvest.definitions,
        },
        reads=["mean_image", "selection", "firing_shift", "harvest"],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    skills, evidence = skills_of(study), open_evidence(study)
    _ask(output, evidence)
    for (name, layer), of_layer in evidence.asking.items():
        _write_layer(output, study, skills[name], layer, of_layer)


def _ask(output: StageOutput, evidence: Evidence) -> None:
    """Until all verdicts are known."""
    for look in evidence.looks:
        parts = parts_of(evidence.wanted(look))
        found = output.in_shards(run_part, parts, f"-{look}")
        for of_layers in track(found, f"neutral prompts, {look} samples", total=len(parts)):
            for layer, runs in of_layers.items():
                evidence.layers[layer].add(runs)
        for of_layer in evidence.asking.values():
            of_layer.look(look)


def _write_layer(
    output: StageOutput, study: Study, skill: Skill, layer: int, asking: Asking
) -> None:
    n = len(asking.features)
    counts = [asking.counts(number) for number in range(len(skill.neutral_prompts))]
    keys = {
        "skill": [skill.name] * n,
        "layer": np.full(n, layer, np.int16),
        "feature": np.array(asking.features, np.int32),
    }
    for number, (prompt, of_prompt) in enumerate(zip(skill.neutral_prompts, counts, strict=True)):
        output.table(
            "neutral_prompt",
            {
                **keys,
                "prompt_no": np.full(n, number, np.int16),
                "prompt": [prompt] * n,
                "has_skill_word": [has_skill_word(skill, prompt)] * n,
                **_integers(of_prompt),
                "mean_activation": of_prompt.mean_activation().numpy(),
            },
        )
    total = NeutralCounts(*(sum(parts) for parts in zip(*counts, strict=True)))
    kept = torch.stack([verdict(of_prompt, study.config.neutral) for of_prompt in counts]).any(0)
    output.table("candidate", {**keys, "survives": kept.numpy(), **_integers(total)})


def _integers(counts: NeutralCounts) -> dict[str, np.ndarray]:
    return {
        "n_samples": counts.n_samples.numpy().astype(np.int32),
        "n_fired": counts.n_fired.numpy().astype(np.int32),
        "n_fired_mean_image": counts.n_fired_mean_image.numpy().astype(np.int32),
        "n_fired_shuffled_image": counts.n_fired_shuffled_image.numpy().astype(np.int32),
    }
