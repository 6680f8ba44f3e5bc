"""Stage `neutral_prompt`: features that are more than the words of the question (paper 4.3).

The question of each candidate's top samples is replaced by neutral prompts. The model replies, and
the prompt with this reply is run on the picture, on the mean image and on another sample's picture:
same words, only the picture differs. Only candidates in the adapted set are asked. A prompt that
several skills share is run once for all of their candidates.
"""

from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.stages.features.feature_choice import by_layer_of, candidates_of
from feature_atlas.etl.stages.features.neutral_count import Counted, count_prompt
from feature_atlas.etl.stages.features.skills import skills_of
from feature_atlas.etl.study import Study, open_study
from feature_atlas.features.neutral_prompt import NeutralCounts, survives
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
    skills = skills_of(study)
    chosen = {name: by_layer_of(candidates_of(study, name)) for name in skills}
    asked: dict[str, list[str]] = defaultdict(list)
    for name, skill in skills.items():
        for prompt in skill.neutral_prompts:
            asked[prompt].append(name)
    counted = {}
    for prompt, names in asked.items():
        counted[prompt] = count_prompt(study, prompt, _together([chosen[n] for n in names]))
    for name, skill in skills.items():
        for layer, features in chosen[name].items():
            counts = [counted[prompt][layer] for prompt in skill.neutral_prompts]
            _write_layer(output, study, skill, layer, features, counts)


def _together(chosen: list[dict[int, list[int]]]) -> dict[int, list[int]]:
    """The features of several skills by layer, each once."""
    layers = sorted({layer for of_skill in chosen for layer in of_skill})
    return {
        layer: sorted({f for of_skill in chosen for f in of_skill.get(layer, [])})
        for layer in layers
    }


def _write_layer(
    output: StageOutput,
    study: Study,
    skill: Skill,
    layer: int,
    features: list[int],
    counted: list[Counted],
) -> None:
    n = len(features)
    counts = [one.of(features) for one in counted]
    keys = {
        "skill": [skill.name] * n,
        "layer": np.full(n, layer, np.int16),
        "feature": np.array(features, np.int32),
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
    kept = torch.stack([_survives(study, of_prompt) for of_prompt in counts]).any(0)
    output.table("candidate", {**keys, "survives": kept.numpy(), **_integers(total)})


def _survives(study: Study, counts: NeutralCounts) -> torch.Tensor:
    return survives(
        counts.n_fired,
        counts.n_samples,
        counts.n_fired_mean_image,
        min_share=study.config.neutral.min_share,
        max_mean_share=study.config.neutral.max_mean_share,
    )


def _integers(counts: NeutralCounts) -> dict[str, np.ndarray]:
    return {
        "n_samples": counts.n_samples.numpy().astype(np.int32),
        "n_fired": counts.n_fired.numpy().astype(np.int32),
        "n_fired_mean_image": counts.n_fired_mean_image.numpy().astype(np.int32),
        "n_fired_shuffled_image": counts.n_fired_shuffled_image.numpy().astype(np.int32),
    }
