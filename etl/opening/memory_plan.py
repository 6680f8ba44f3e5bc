"""What every stage holds on the device, by arithmetic from sizes, and how much it does at once.

Weights, dictionaries and sums are counted exactly; what a batch of prompts holds on its way through
the layers, and what gradients need, was measured (`at_once`). On a smaller device a stage does less
at once: layers of the harvest, prompts, samples, keys of pictures.
"""

from typing import NamedTuple

from feature_atlas.etl.at_once import SPARED, decided
from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.opening.costs import pass_bytes
from feature_atlas.etl.opening.sizes import Sizes
from feature_atlas.etl.stages.dictionary.train_dictionary import training_bytes
from feature_atlas.etl.stages.features.latent_scaling import DICTIONARIES
from feature_atlas.etl.stages.features.layer_groups import encoder_bytes
from feature_atlas.etl.stages.features.neutral_runs import KEYS_SHARE
from feature_atlas.features.logit_effect import LOGITS_AT_ONCE

GATES = 10**9
"""Of a block of tokens while it is encoded: their gates, bounds and candidates."""


class StageMemory(NamedTuple):
    """One stage, or several that hold the same."""

    stage: str
    at_once: str
    """How much is done together, in words."""
    parts: dict[str, float]
    """Bytes on the device by what they are."""
    n_passes: int = 1
    """Times that the prompts go through the model for it."""

    @property
    def total(self) -> float:
        """Bytes on the device."""
        return sum(self.parts.values())


def memory_plan(config: RunConfig, sizes: Sizes, card: float) -> list[StageMemory]:
    """Every stage on a device of so many bytes, or one that holds as much."""
    of = Plan(config, sizes, card)
    has_base = config.base_model is not None
    return [
        of.passes("forward_check", 1),
        *([of.gate_check()] if has_base else []),
        of.passes("adapt: residuals", sizes.n_layers),
        of.training(),
        *([of.latent_scaling()] if has_base and config.latent_scaling.n_questions else []),
        of.harvest(),
        of.logit_effect(),
        of.neutral_prompt(),
        of.removals(),
        of.attribution(),
    ]


class Plan:
    """What stages are made of, on a device of so many bytes."""

    def __init__(self, config: RunConfig, sizes: Sizes, card: float) -> None:
        self.of, self.sizes, self.card = sizes.memory(config), sizes, card
        self.config = decided(config, self.of.at_once(card))
        self.n_prompts = self.config.batch_size or 1
        self.model, self.dictionary = self.of.model, float(sizes.dictionary_bytes)

    def passes(self, stage: str, n_layers: int) -> StageMemory:
        """Forward passes that keep residuals."""
        parts = {"model": self.model, "batch": self.of.batch(self.n_prompts, n_layers)}
        return StageMemory(stage, f"{self.n_prompts} prompts", parts)

    def gate_check(self) -> StageMemory:
        """The base model comes beside the VLM, or in its place; dictionaries one by one."""
        base_model = float(self.sizes.text_parameters * self.of.number)
        parts = {"base model": base_model, "dictionary": 2 * self.dictionary, "gates": GATES}
        return StageMemory("gate_check", "1 dictionary", self._beside(parts))

    def training(self) -> StageMemory:
        """One dictionary, with all that trains it."""
        of = self.sizes
        one = float(training_bytes(self.config.adapt.batch_size, of.d_model, of.d_sae))
        return StageMemory("adapt: training", "1 dictionary", self._beside({"dictionary": one}))

    def _beside(self, parts: dict[str, float]) -> dict[str, float]:
        """With the VLM, which stays where there is room and else comes again later."""
        stays = sum(parts.values()) + self.model <= (1 - SPARED) * self.card
        return {"model": self.model, **parts} if stays else parts

    def latent_scaling(self) -> StageMemory:
        """VLM and base model one after the other, and both dictionaries of some layers."""
        n_layers, n_passes = self._groups(DICTIONARIES)
        parts = {
            "model": self.model,
            "dictionaries": (2 * n_layers + 1) * self.dictionary,
            "batch": self.of.batch(self.n_prompts, n_layers),
        }
        return StageMemory("latent_scaling", f"{n_layers} layers", parts, n_passes)

    def harvest(self) -> StageMemory:
        """As many layers as half of what is free holds, of encoders and sums."""
        n_layers, n_passes = self._groups()
        parts = {
            "model": self.model,
            "encoders and sums": n_layers * self._layer,
            "batch": self.of.batch(self.n_prompts, n_layers),
            "gates": GATES,
        }
        return StageMemory("harvest", f"{n_layers} layers", parts, n_passes)

    def _groups(self, times: int = 1) -> tuple[int, int]:
        """Layers together, and groups of them, as `layer_groups` has them."""
        fit = self.config.harvest.layers_at_once or int(
            (self.card - self.model) // (2 * self._layer)
        )
        n_groups = -(-self.sizes.n_layers // max(1, fit // times))
        return -(-self.sizes.n_layers // n_groups), n_groups

    @property
    def _layer(self) -> float:
        """Of the harvest: an encoder and its sums."""
        encoder = encoder_bytes(self.sizes.d_model, self.sizes.d_sae)
        return float(encoder + pass_bytes(self.config) * self.sizes.d_sae)

    def logit_effect(self) -> StageMemory:
        """A dictionary, its rows that fired, and the unembedding in float32."""
        unembedding = 4.0 * self.sizes.vocabulary * self.sizes.d_model
        parts = {
            "model": self.model,
            "dictionary": 1.5 * self.dictionary,
            "unembedding": unembedding,
            "logits": 4.0 * LOGITS_AT_ONCE,
        }
        return StageMemory("logit_effect", "1 layer", parts)

    def neutral_prompt(self) -> StageMemory:
        """Keys of pictures take their share of what is free."""
        keys = KEYS_SHARE * max(self.card - self.model, 0.0)
        batch = self.of.batch(self.n_prompts, self.sizes.n_layers)
        parts = {"model": self.model, "keys": keys, "batch": batch}
        return StageMemory("neutral_prompt", f"{self.n_prompts} pictures", parts)

    def removals(self) -> StageMemory:
        """A dictionary and its directions, once more where those of the base are removed."""
        passes = self.passes("ablation", 1)
        return passes._replace(parts=passes.parts | {"dictionaries": 3 * self.dictionary})

    def attribution(self) -> StageMemory:
        """All that gradients need, of a clean and a corrupt run of each sample."""
        n = self.config.head_attribution.samples_at_once or 1
        parts = {"model": self.model, "gradients": n * self.of.gradients}
        return StageMemory("head_attribution", f"{n} samples", parts)
