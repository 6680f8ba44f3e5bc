"""What the shared pass counts for the firing shift: which question belongs to which split (4.3).

    base                the base questions, all of them; the rest of a skill is base minus skill
    <skill>             its questions, among the base ones or among the statements
    <skill>.matched     those of them that have a length-matched partner
    <skill>.control     the partners, among the base questions

Each is counted over all sample-dependent text and over question tokens alone; base and skills also
in every bootstrap replicate, for which pictures are drawn.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.run_folder.artifacts import read_arrays
from feature_atlas.etl.stages.features.sample_skill import members_of
from feature_atlas.etl.stages.features.skills import BASE, SPLITS, STATEMENTS, VSR, skills_of
from feature_atlas.etl.study import Study
from feature_atlas.features.firing_counts import (
    FiringCounts,
    ReplicateCounts,
    SplitCounts,
    question_firings,
)
from feature_atlas.features.length_match import Kind, length_matched_pairs
from feature_atlas.features.skill import Skill
from feature_atlas.statistics.bootstrap_weights import poisson_weights
from feature_atlas.vlm.token_roles import Role

QUESTION = ".question"
"""Behind the name of a split: counted over question tokens alone."""


class Splits(NamedTuple):
    """How the questions of one data set are divided."""

    names: list[str]
    """The splits, in the order of the columns of `member`."""
    member: Bool[Tensor, "sample split"]
    """Which samples belong to which split."""
    images: Int[Tensor, " sample"]
    """Number of each sample's picture."""


class ShiftCounts(NamedTuple):
    """Counts of one layer, by data set."""

    counts: dict[str, SplitCounts]
    """By data set, and over question tokens alone by data set and `QUESTION`."""
    replicates: dict[str, ReplicateCounts]
    """By split, of those that are resampled."""


def measured_skills(study: Study) -> list[Skill]:
    """The configured skills, and the statements against the questions."""
    return [*skills_of(study).values(), VSR]


def split_names(study: Study) -> dict[str, list[str]]:
    """Names of the splits by data set, in the order in which they are counted."""
    names: dict[str, list[str]] = {BASE: ["base"], STATEMENTS: []}
    for skill in measured_skills(study):
        of_skill = names.setdefault(SPLITS[skill.dataset], [])
        of_skill += [skill.name, f"{skill.name}.matched"]
        names[BASE].append(f"{skill.name}.control")
    return names


def resampled(names: Sequence[str]) -> list[str]:
    """Splits that are counted in every bootstrap replicate: base and skills themselves."""
    return [name for name in names if "." not in name]


@lru_cache(maxsize=1)
def splits_of(study: Study) -> dict[str, Splits]:
    """The splits of the base questions, of the statements, and of benches that skills are of."""
    everything = torch.ones(len(study.samples[BASE]), dtype=torch.bool)
    masks = {"base": everything}
    kinds = {split: _kinds(study, study.samples[split]) for split in split_names(study)}
    for skill in measured_skills(study):
        split, asks = SPLITS[skill.dataset], members_of(study, skill)
        rest = ~asks if split == BASE else everything
        matched, control = _matched(study, kinds[split], kinds[BASE], asks, rest)
        masks |= {skill.name: asks}
        masks |= {f"{skill.name}.matched": matched, f"{skill.name}.control": control}
    return {
        split: Splits(
            names,
            torch.stack([masks[name] for name in names], 1).to(study.config.device),
            study.image_numbers[split].to(study.config.device),
        )
        for split, names in split_names(study).items()
    }


def empty_counts(study: Study, d_sae: int, split: str) -> ShiftCounts:
    """Nothing counted yet of a data set's questions."""
    device, n = study.config.device, study.config.harvest.n_replicates
    names = split_names(study)[split]
    return ShiftCounts(
        {split + role: SplitCounts.empty(d_sae, len(names), device) for role in ("", QUESTION)},
        {name: ReplicateCounts.empty(d_sae, n, device) for name in resampled(names)},
    )


def add_counts(
    into: ShiftCounts,
    codes: SparseCodes,
    roles: Int[Tensor, " token"],
    text: Int[Tensor, " token"],
    study: Study,
    split: str,
) -> None:
    """Count a batch of whole prompts; `text` is the sample's row per token, or negative."""
    found = splits_of(study)[split]
    fired = question_firings(codes, text)
    member = found.member[fired.rows]
    into.counts[split].add(fired, member)
    harvest = study.config.harvest
    drawn = poisson_weights(found.images[fired.rows], harvest.n_replicates, study.config.seed)
    for name in resampled(found.names):
        belongs = member[:, found.names.index(name)]
        into.replicates[name].add(fired, drawn * belongs[:, None])
    asked = question_firings(codes, torch.where(roles == Role.QUESTION, text, -1))
    into.counts[split + QUESTION].add(asked, found.member[asked.rows])


class LayerShift(NamedTuple):
    """One layer's counts by name of the split."""

    text: dict[str, FiringCounts]
    """Over all sample-dependent text."""
    question: dict[str, FiringCounts]
    """Over question tokens alone."""
    replicates: dict[str, ReplicateCounts]
    """Of base and skills, images resampled."""


def read_counts(study: Study, layer: int) -> LayerShift:
    """The counts of a finished pass."""
    stored = read_arrays(study.run, "harvest", f"shift.{layer}")
    names = split_names(study)

    def counted(role: str) -> dict[str, FiringCounts]:
        return {
            name: SplitCounts(*_tensors(stored, f"counts/{split}{role}", SplitCounts)).split(i)
            for split in names
            for i, name in enumerate(names[split])
        }

    drawn = [name for split in names.values() for name in resampled(split)]
    return LayerShift(
        counted(""),
        counted(QUESTION),
        {n: ReplicateCounts(*_tensors(stored, f"replicates/{n}", ReplicateCounts)) for n in drawn},
    )


def _tensors(
    stored: dict[str, np.ndarray], name: str, kind: type[SplitCounts] | type[ReplicateCounts]
) -> list[Tensor]:
    return [torch.from_numpy(stored[f"{name}/{field}"]) for field in kind._fields]


def _kinds(study: Study, samples: Sequence[Sample]) -> list[Kind]:
    """Length in tokens and question type of each sample."""
    tokenizer = study.vlm.processor.tokenizer
    ids = tokenizer([s.question for s in samples], add_special_tokens=False).input_ids
    return [Kind(len(of), s.question_type) for of, s in zip(ids, samples, strict=True)]


def _matched(
    study: Study,
    asked: list[Kind],
    base: list[Kind],
    asks: Bool[Tensor, " sample"],
    rest: Bool[Tensor, " base"],
) -> tuple[Bool[Tensor, " sample"], Bool[Tensor, " base"]]:
    """The skill's questions that have a partner, and the partners."""
    places = asks.nonzero().flatten().tolist(), rest.nonzero().flatten().tolist()
    pairs = length_matched_pairs(
        [asked[place] for place in places[0]],
        [base[place] for place in places[1]],
        caliper=study.config.harvest.length_caliper,
        seed=study.config.seed,
    )
    matched, control = torch.zeros_like(asks), torch.zeros_like(rest)
    matched[[places[0][pair.question] for pair in pairs]] = True
    control[[places[1][pair.control] for pair in pairs]] = True
    return matched, control
