"""Stage `neutral_prompt`: features that are more than the words of the question (paper 4.3).

The question of each candidate's top samples is replaced by neutral prompts. The model replies, and
the prompt with this reply is run on the picture and on the mean image: same words, only the picture
differs. Only candidates in the adapted set are asked.
"""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.progress import track

from feature_atlas.etl.adapt import adapted_sae
from feature_atlas.etl.artifacts import Stage, StageOutput, read_rows, run_stage
from feature_atlas.etl.harvest import BASE, read_sums
from feature_atlas.etl.selection import by_layer, is_adapted
from feature_atlas.etl.skills import SKILLS
from feature_atlas.etl.study import Study, open_study
from feature_atlas.harvest import harvest
from feature_atlas.neutral_prompt import NeutralCounts, max_activation, survives
from feature_atlas.reply import with_reply
from feature_atlas.sae import encode
from feature_atlas.vlm import TEXT_ROLES, Role

ASKED_AND_SAID = (*TEXT_ROLES, Role.ANSWER)


class Feature(NamedTuple):
    """One feature of the run."""

    layer: int
    feature: int


def run_neutral_prompt(run: Path) -> Stage:
    """Counts per candidate and prompt, and which candidates survive."""
    study = open_study(run)
    return run_stage(
        run,
        "neutral_prompt",
        params={
            **study.config.neutral.model_dump(),
            "prompts": {name: SKILLS[name].neutral_prompts for name in study.config.harvest.skills},
        },
        reads=["mean_image", "selection", "firing_shift", "harvest"],
        body=lambda output: _write(output, study),
    )


def candidates_of(study: Study, skill: str) -> list[Feature]:
    """Adapted features that the skill recruits, by layer and feature."""
    shifted = by_layer(study, "firing_shift", "firing_shift", "is_candidate", skill=skill)
    where = np.argwhere(shifted & is_adapted(study))
    return [Feature(study.layers[row], int(feature)) for row, feature in where]


def survivors_of(study: Study, skill: str) -> list[Feature]:
    """Candidates that survive neutral prompts, those with the highest odds ratio first."""
    rows = read_rows(study.run, "neutral_prompt", "candidate")
    kept = [
        Feature(r["layer"], r["feature"]) for r in rows if r["skill"] == skill and r["survives"]
    ]
    low = by_layer(study, "firing_shift", "firing_shift", "odds_ratio_low", skill=skill)
    return sorted(kept, key=lambda f: -low[study.layers.index(f.layer), f.feature])


def _write(output: StageOutput, study: Study) -> None:
    for skill in study.config.harvest.skills:
        chosen: dict[int, list[int]] = defaultdict(list)
        for layer, feature in candidates_of(study, skill):
            chosen[layer].append(feature)
        prompts = SKILLS[skill].neutral_prompts
        counts = {
            layer: [NeutralCounts.empty(len(features)) for _ in prompts]
            for layer, features in chosen.items()
        }
        for number, prompt in enumerate(prompts):
            _count_prompt(study, prompt, chosen, {i: c[number] for i, c in counts.items()})
        _write_skill(output, study, skill, chosen, counts)


@torch.no_grad()
def _count_prompt(
    study: Study, prompt: str, chosen: dict[int, list[int]], counts: dict[int, NeutralCounts]
) -> None:
    """Ask one neutral prompt about every top sample of every chosen feature."""
    saes = {layer: adapted_sae(study, "text", layer) for layer in chosen}
    top = {layer: _top_rows(study, layer, features) for layer, features in chosen.items()}
    wanted = sorted({row for rows in top.values() for row in rows.flatten().tolist() if row >= 0})
    samples = [study.samples[BASE][row] for row in wanted]
    batches = study.prompts(samples, questions=[prompt] * len(samples))
    n_batches = -(-len(samples) // study.config.batch_size)
    for batch, positions in track(batches, f"neutral prompt: {prompt[:30]}", total=n_batches):
        rows = torch.tensor([wanted[p] for p in positions])
        batch = with_reply(study.vlm.model, batch, study.config.neutral.n_reply_tokens)
        runs = [
            harvest(study.vlm.model, batch, sorted(chosen), image_embeds=embeds).only(
                ASKED_AND_SAID
            )
            for embeds in (None, study.mean_image.expand(len(rows), -1, -1))
        ]
        for layer, features in chosen.items():
            real, mean = (
                max_activation(
                    encode(saes[layer], run.residuals[layer]),
                    run.prompt,
                    len(rows),
                    torch.tensor(features, device=run.prompt.device),
                ).cpu()
                for run in runs
            )
            is_top = (top[layer].T[None] == rows[:, None, None]).any(1)
            counts[layer].add(real, mean, is_top)


def _top_rows(study: Study, layer: int, features: list[int]) -> torch.Tensor:
    """Rows of the base split on which each feature is most active, [feature, n_samples]."""
    samples = read_sums(study, layer).examples["vqav2"].samples[features]
    first = study.first_number[BASE]
    rows = torch.where(samples >= 0, samples - first, -1)
    return rows[:, : study.config.neutral.n_samples]


def _write_skill(
    output: StageOutput,
    study: Study,
    skill: str,
    chosen: dict[int, list[int]],
    counts: dict[int, list[NeutralCounts]],
) -> None:
    prompts = SKILLS[skill].neutral_prompts
    for layer, features in chosen.items():
        n = len(features)
        keys = {
            "skill": [skill] * n,
            "layer": np.full(n, layer, np.int16),
            "feature": np.array(features, np.int32),
        }
        for number, (prompt, counted) in enumerate(zip(prompts, counts[layer], strict=True)):
            output.table(
                "neutral_prompt",
                {
                    **keys,
                    "prompt_no": np.full(n, number, np.int16),
                    "prompt": [prompt] * n,
                    **_integers(counted),
                    "mean_activation": counted.mean_activation().numpy(),
                },
            )
        total = NeutralCounts(*(sum(parts) for parts in zip(*counts[layer], strict=True)))
        kept = torch.stack([_survives(study, counted) for counted in counts[layer]]).any(0)
        output.table("candidate", {**keys, "survives": kept.numpy(), **_integers(total)})


def _survives(study: Study, counts: NeutralCounts) -> torch.Tensor:
    return survives(
        counts.n_fired,
        counts.n_samples,
        counts.n_fired_mean_image,
        min_share=study.config.neutral.min_share,
    )


def _integers(counts: NeutralCounts) -> dict[str, np.ndarray]:
    return {
        "n_samples": counts.n_samples.numpy().astype(np.int32),
        "n_fired": counts.n_fired.numpy().astype(np.int32),
        "n_fired_mean_image": counts.n_fired_mean_image.numpy().astype(np.int32),
    }
