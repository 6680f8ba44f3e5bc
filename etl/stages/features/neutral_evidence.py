"""What neutral prompts have shown so far, and what is to be asked next (paper 4.3).

Part of the stage `neutral_prompt`. A prompt about a picture is one run, whatever questions the
picture has, whichever features and skills ask for it: its results are kept for all of them. Each
feature goes through its own top samples in an order drawn at random, and looks after some of them
(`early_verdict`); a prompt whose verdict is known is asked no more, nor the others of a candidate
that survived one.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from feature_atlas.etl.config.features import NeutralConfig
from feature_atlas.etl.stages.features.feature_choice import by_layer_of, candidates_of
from feature_atlas.etl.stages.features.harvest_sums import read_sums
from feature_atlas.etl.stages.features.skills import skills_of
from feature_atlas.etl.study import Study
from feature_atlas.features.early_verdict import enough, looks
from feature_atlas.features.neutral_prompt import NeutralCounts, survives
from feature_atlas.statistics.counter_hash import counter_hash

IMAGES = ("real", "mean", "shuffled")
"""The three runs of a prompt, in the order of all arrays."""


class Runs(NamedTuple):
    """What some runs showed of one layer, a row for each prompt, picture and feature."""

    prompt: Int[Tensor, " row"]
    """Number of the prompt."""
    picture: Int[Tensor, " row"]
    """Number of the picture."""
    feature: Int[Tensor, " row"]
    """Place of the feature among those of the layer."""
    strongest: Float[Tensor, "row image"]
    """Its strongest activation with each of `IMAGES`."""


class LayerEvidence(NamedTuple):
    """Everything known of one layer's candidates; filled in place."""

    features: list[int]
    """Numbers of the candidates of all skills, rising."""
    pictures: Int[Tensor, "feature sample"]
    """Of their top samples, in the order in which they are asked; -1 behind the last."""
    asked: Bool[Tensor, "prompt feature"]
    """Which prompts are those of a skill that the feature is a candidate of."""
    strongest: Float[Tensor, "image prompt feature sample"]
    """Strongest activations; NaN where nothing was run."""

    @classmethod
    def empty(
        cls, features: list[int], top: Int[Tensor, "feature sample"], n_prompts: int, seed: int
    ) -> "LayerEvidence":
        """Nothing run yet. A hash of the picture orders samples, alike for all features."""
        drawn = counter_hash(seed, top).masked_fill(top < 0, torch.iinfo(torch.int64).max)
        pictures = top.gather(1, drawn.argsort(dim=1, stable=True))
        asked = torch.zeros(n_prompts, len(features), dtype=torch.bool)
        unknown = torch.full((len(IMAGES), n_prompts, *pictures.shape), torch.nan)
        return cls(features, pictures, asked, unknown)

    @property
    def n_samples(self) -> Int[Tensor, " feature"]:
        """Top samples of each feature."""
        return (self.pictures >= 0).sum(1)

    def has_top(self, pictures: Int[Tensor, " picture"]) -> Bool[Tensor, "feature picture"]:
        """Whether a picture is that of one of the feature's top samples."""
        return torch.stack([torch.isin(pictures, of_feature) for of_feature in self.pictures])

    def add(self, runs: Runs) -> None:
        """Keep what was found: the picture is one of the feature's."""
        place = (self.pictures[runs.feature] == runs.picture[:, None]).int().argmax(1)
        self.strongest[:, runs.prompt, runs.feature, place] = runs.strongest.T


class Asking:
    """One skill's candidates in one layer, asked its prompts until the verdict is known."""

    def __init__(
        self,
        evidence: LayerEvidence,
        features: list[int],
        prompts: list[int],
        config: NeutralConfig,
    ) -> None:
        self.evidence, self.features, self.prompts = evidence, features, prompts
        self.config = config
        self.looks = tuple(looks(evidence.pictures.shape[1]))
        self.rows = torch.searchsorted(torch.tensor(evidence.features), torch.tensor(features))
        evidence.asked[torch.tensor(prompts)[:, None], self.rows] = True
        self.n_samples = evidence.n_samples[self.rows]
        self.n_asked = torch.zeros(len(prompts), len(features), dtype=torch.int64)
        self.is_open = torch.ones_like(self.n_asked, dtype=torch.bool)

    def wanted(self, look: int) -> Int[Tensor, "run 2"]:
        """Number of the prompt and of the picture of each run that is lacking at a look."""
        place = torch.arange(self.evidence.pictures.shape[1])
        pictures = self.evidence.pictures[self.rows]
        is_lacking = self.evidence.strongest[0][self.prompts][:, self.rows].isnan()
        lacking = is_lacking & self.is_open[..., None] & (place < look) & (pictures >= 0)
        prompt, feature, sample = lacking.nonzero(as_tuple=True)
        return torch.stack([torch.tensor(self.prompts)[prompt], pictures[feature, sample]], 1)

    def look(self, look: int) -> None:
        """Judge what was seen so far, and ask no more where that is enough."""
        n_now = self.n_samples.clamp_max(look).expand_as(self.n_asked)
        self.n_asked = torch.where(self.is_open, n_now, self.n_asked)
        counts = [self.counts(number) for number in range(len(self.prompts))]
        decided = torch.stack([self._is_decided(of_prompt) for of_prompt in counts])
        survived = torch.stack([verdict(of_prompt, self.config) for of_prompt in counts])
        self.is_open &= ~decided & ~(decided & survived).any(0)

    def counts(self, number: int) -> NeutralCounts:
        """Of one of the skill's prompts, over the samples that were asked."""
        seen = self.evidence.strongest[:, self.prompts[number], self.rows].nan_to_num(0)
        is_asked = torch.arange(seen.shape[-1]) < self.n_asked[number][:, None]
        real, mean, shuffled = (of_image.T for of_image in seen)
        counts = NeutralCounts.empty(len(self.rows))
        counts.add(real, mean, shuffled, is_asked.T)
        return counts

    def _is_decided(self, counts: NeutralCounts) -> Bool[Tensor, " feature"]:
        """Whether all samples would, but for the error that is allowed, give the same verdict."""
        rule = self.config.model_dump(include={"max_error", "min_share", "max_mean_share"})
        seen = (self.n_samples, counts.n_samples, counts.n_fired, counts.n_fired_mean_image)
        decided = []
        for n_samples, n_asked, fired, fired_mean in zip(*map(Tensor.tolist, seen), strict=True):
            may_stop = enough(n_samples, self.looks, n_prompts=len(self.prompts), **rule)
            decided.append(n_asked == n_samples or bool(may_stop[n_asked][fired, fired_mean]))
        return torch.tensor(decided, dtype=torch.bool)


class Evidence(NamedTuple):
    """Of a whole run."""

    prompts: list[str]
    """Of all skills, each once."""
    layers: dict[int, LayerEvidence]
    asking: dict[tuple[str, int], Asking]
    """By skill and layer."""

    @property
    def looks(self) -> list[int]:
        """After how many samples there is a look."""
        widths = (of_layer.pictures.shape[1] for of_layer in self.layers.values())
        return looks(max(widths, default=0))

    def wanted(self, look: int) -> Int[Tensor, "run 2"]:
        """Prompt and picture of each run that is lacking, by picture."""
        lacking = torch.cat([one.wanted(look) for one in self.asking.values()])
        return lacking.flip(1).unique(dim=0).flip(1)


def open_evidence(study: Study) -> Evidence:
    """Whom to ask what; nothing run yet."""
    skills, config = skills_of(study), study.config
    prompts = list(dict.fromkeys(p for skill in skills.values() for p in skill.neutral_prompts))
    chosen = {name: by_layer_of(candidates_of(study, name)) for name in skills}
    layers = {
        layer: LayerEvidence.empty(
            features, top_pictures(study, layer, features), len(prompts), config.seed
        )
        for layer, features in _together(chosen.values()).items()
    }
    asking = {
        (name, layer): Asking(
            layers[layer],
            features,
            [prompts.index(prompt) for prompt in skills[name].neutral_prompts],
            config.neutral,
        )
        for name, of_skill in chosen.items()
        for layer, features in of_skill.items()
    }
    return Evidence(prompts, layers, asking)


def top_pictures(
    study: Study, layer: int, features: Sequence[int]
) -> Int[Tensor, "feature sample"]:
    """Pictures of the base questions on which each feature is most active, one each."""
    of_base = read_sums(study, layer).examples["vqav2"]
    return of_base.images[list(features)][:, : study.config.neutral.n_samples]


def _together(chosen: Iterable[dict[int, list[int]]]) -> dict[int, list[int]]:
    """The features of several skills by layer, each once."""
    found: dict[int, set[int]] = {}
    for of_skill in chosen:
        for layer, features in of_skill.items():
            found.setdefault(layer, set()).update(features)
    return {layer: sorted(features) for layer, features in sorted(found.items())}


def verdict(counts: NeutralCounts, config: NeutralConfig) -> Bool[Tensor, " feature"]:
    """Which features survive one prompt."""
    return survives(
        counts.n_fired,
        counts.n_samples,
        counts.n_fired_mean_image,
        min_share=config.min_share,
        max_mean_share=config.max_mean_share,
    )
