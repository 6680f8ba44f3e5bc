"""Stage `neutral_prompt`: features that are more than the words of the question (paper 4.3).

The question of each candidate's top samples is replaced by neutral prompts. The model replies, and
the prompt with this reply is run on the picture, on the mean image and on another sample's picture:
same words, only the picture differs. Only candidates in the adapted set are asked, and of their
samples as many as the verdict needs (`neutral_evidence`). Between two looks at what was found, what
is asked is a list of shards (`neutral_shard`).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int
from rich.progress import track
from torch import Tensor

from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.stages.features.feature_choice import by_layer_of, candidates_of
from feature_atlas.etl.stages.features.harvest_sums import read_sums
from feature_atlas.etl.stages.features.neutral_evidence import Asking, LayerEvidence, verdict
from feature_atlas.etl.stages.features.neutral_shard import KeptEncoders, run_shard, shards
from feature_atlas.etl.stages.features.skills import skills_of
from feature_atlas.etl.study import Study, open_study
from feature_atlas.features.early_verdict import looks
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
    skills = skills_of(study)
    asking = ask(study, skills)
    for (name, layer), of_layer in asking.items():
        _write_layer(output, study, skills[name], layer, of_layer)


def ask(study: Study, skills: Mapping[str, Skill]) -> dict[tuple[str, int], Asking]:
    """Ask every skill's candidates in every layer, until all verdicts are known."""
    prompts = list(dict.fromkeys(p for skill in skills.values() for p in skill.neutral_prompts))
    chosen = {name: by_layer_of(candidates_of(study, name)) for name in skills}
    evidence = {
        layer: LayerEvidence.empty(
            features, _top_pictures(study, layer, features), len(prompts), study.config.seed
        )
        for layer, features in _together(chosen.values()).items()
    }
    asking = {
        (name, layer): Asking(
            evidence[layer],
            features,
            [prompts.index(prompt) for prompt in skills[name].neutral_prompts],
            study.config.neutral,
        )
        for name, of_skill in chosen.items()
        for layer, features in of_skill.items()
    }
    encoders = KeptEncoders(study)
    for look in looks(_n_samples(evidence.values())):
        wanted = [of_layer.wanted(look) for of_layer in asking.values()]
        who = {layer: _who(layer, evidence[layer], asking) for layer in evidence}
        work = list(shards(torch.cat(wanted), len(prompts)))
        for shard in track(work, f"neutral prompts, {look} samples"):
            found = run_shard(study, prompts, shard, evidence, who, encoders)
            for layer, runs in found.items():
                evidence[layer].add(runs)
        for of_layer in asking.values():
            of_layer.look(look)
    return asking


def _n_samples(evidence: Iterable[LayerEvidence]) -> int:
    return max((of_layer.pictures.shape[1] for of_layer in evidence), default=0)


def _who(
    layer: int, evidence: LayerEvidence, asking: Mapping[tuple[str, int], Asking]
) -> Bool[Tensor, "prompt feature"]:
    """Which features of a layer are still asked which prompts, for any of the skills."""
    who = torch.zeros(evidence.strongest.shape[1:3], dtype=torch.bool)
    for (_, of_layer), one in asking.items():
        if of_layer == layer:
            who[torch.tensor(one.prompts)[:, None], one.rows] |= one.is_open
    return who


def _top_pictures(study: Study, layer: int, features: list[int]) -> Int[Tensor, "feature sample"]:
    """Pictures of the base questions on which each feature is most active; one each."""
    of_base = read_sums(study, layer).examples["vqav2"]
    return of_base.images[features][:, : study.config.neutral.n_samples]


def _together(chosen: Iterable[dict[int, list[int]]]) -> dict[int, list[int]]:
    """The features of several skills by layer, each once."""
    found: dict[int, set[int]] = {}
    for of_skill in chosen:
        for layer, features in of_skill.items():
            found.setdefault(layer, set()).update(features)
    return {layer: sorted(features) for layer, features in sorted(found.items())}


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
