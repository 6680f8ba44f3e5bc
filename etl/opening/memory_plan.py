"""What every stage holds on the device, by arithmetic from sizes, and how much it does at once.

Weights, dictionaries and sums are counted exactly; what a batch of prompts holds on its way through
the layers, and what gradients need, is `BATCH_WIDTHS` and `GRADIENTS`, measured. A stage that finds
less room does less at once, where that changes no number: layers of the harvest, dictionaries in
training, keys of pictures.
"""

from typing import NamedTuple

from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.opening.costs import Arithmetic, harvest_bytes
from feature_atlas.etl.opening.sizes import Sizes
from feature_atlas.etl.stages.dictionary.train_dictionary import training_bytes
from feature_atlas.etl.stages.features.layer_groups import encoder_bytes
from feature_atlas.etl.stages.features.neutral_runs import KEYS_SHARE
from feature_atlas.etl.study import SPARED

BATCH_WIDTHS = 20
"""Numbers of a token that are there together while it goes through a layer, in widths of the
model: what comes in and goes out, queries, keys and values, and 3.5 widths of the MLP three
times."""
GRADIENTS = 20 * 10**9 / (8 * 10**9 * 700)
"""Bytes of an attribution's sample for each weight and token: 20 GB for 8B weights and 700 tokens
in bfloat16."""
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
    """Every stage on a device of so many bytes."""
    of = Held(config, sizes)
    return [
        of.passes("forward_check", 1),
        *([of.gate_check(card)] if config.base_model is not None else []),
        of.passes("adapt: residuals", sizes.n_layers),
        of.training(card),
        of.harvest(card),
        of.neutral_prompt(card),
        of.passes("ablation", 1),
        of.attribution(),
    ]


class Held:
    """Bytes of what stages are made of."""

    def __init__(self, config: RunConfig, sizes: Sizes) -> None:
        self.config, self.sizes = config, sizes
        of = Arithmetic(config, sizes)
        self.model, self.number = of.resident, of.weight_bytes
        self.base_model = float(sizes.text_parameters * of.weight_bytes)
        self.dictionary = float(sizes.dictionary_bytes)

    def batch(self, n_layers: int) -> float:
        """Prompts on their way through the model; their residuals of so many layers are kept."""
        n_tokens = self.config.batch_size * self.sizes.prompt_tokens
        widths = BATCH_WIDTHS + n_layers
        return float(n_tokens * widths * self.sizes.d_model * self.number)

    def passes(self, stage: str, n_layers: int) -> StageMemory:
        """Forward passes that keep residuals."""
        prompts = f"{self.config.batch_size} prompts"
        return StageMemory(stage, prompts, {"model": self.model, "batch": self.batch(n_layers)})

    def gate_check(self, card: float) -> StageMemory:
        """The base model comes beside the VLM, or in its place; dictionaries one by one."""
        parts = {"base model": self.base_model, "dictionary": 2 * self.dictionary, "gates": GATES}
        return StageMemory("gate_check", "1 dictionary", self._beside(parts, card))

    def training(self, card: float) -> StageMemory:
        """One dictionary, with all that trains it."""
        of = self.sizes
        one = float(training_bytes(self.config.adapt.batch_size, of.d_model, of.d_sae))
        parts = self._beside({"dictionary": one}, card)
        return StageMemory("adapt: training", "1 dictionary", parts)

    def _beside(self, parts: dict[str, float], card: float) -> dict[str, float]:
        """With the VLM, which stays where there is room and else comes again later."""
        stays = sum(parts.values()) + self.model <= (1 - SPARED) * card
        return {"model": self.model, **parts} if stays else parts

    def harvest(self, card: float) -> StageMemory:
        """As many layers as half of what is free holds, of encoders and sums."""
        encoder = encoder_bytes(self.sizes.d_model, self.sizes.d_sae)
        one = float(encoder + harvest_bytes(self.config) * self.sizes.d_sae)
        asked = self.config.harvest.layers_at_once
        n = asked or max(1, int((card - self.model) // (2 * one)))
        n_passes = -(-self.sizes.n_layers // n)
        together = -(-self.sizes.n_layers // n_passes)
        parts = {
            "model": self.model,
            "encoders and sums": together * one,
            "batch": self.batch(together),
            "gates": GATES,
        }
        return StageMemory("harvest", f"{together} layers", parts, n_passes)

    def neutral_prompt(self, card: float) -> StageMemory:
        """Keys of pictures take their share of what is free."""
        keys = KEYS_SHARE * max(card - self.model, 0.0)
        parts = {"model": self.model, "keys": keys, "batch": self.batch(self.sizes.n_layers)}
        return StageMemory("neutral_prompt", f"{self.config.batch_size} pictures", parts)

    def attribution(self) -> StageMemory:
        """All that gradients need, of a clean and a corrupt run of each sample."""
        n = self.config.head_attribution.samples_at_once
        one = GRADIENTS * self.sizes.text_parameters * self.sizes.prompt_tokens * self.number / 2
        return StageMemory(
            "head_attribution", f"{n} samples", {"model": self.model, "gradients": n * one}
        )
