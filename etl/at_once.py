"""How many prompts and samples are on the device together, where the settings leave it open.

Floats add up otherwise in other batches. So what is chosen follows from what the device has, not
from what is free on it, and a run keeps what it began with, whoever goes on with it.
"""

from typing import Any, NamedTuple

from transformers import PreTrainedModel, ProcessorMixin

from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.inputs.checkpoints import load_processor, vlm_folder
from feature_atlas.etl.inputs.data_sets import DataSets, read_data_sets
from feature_atlas.etl.inputs.device import device_memory
from feature_atlas.etl.inputs.pictures import open_image
from feature_atlas.etl.inputs.skeletons import image_text_skeleton
from feature_atlas.vlm.decoder_inputs import text_model
from feature_atlas.vlm.token_roles import PromptBatch, encode_prompts

BATCH_WIDTHS = 20
"""Numbers of a token that are there together while it goes through a layer, in widths of the
model: what comes in and goes out, queries, keys and values, and 3.5 widths of the MLP three
times."""
GRADIENTS = 20 * 10**9 / (8 * 10**9 * 700)
"""Bytes of an attribution's sample for each weight and token: 20 GB for 8B weights and 700 tokens
in bfloat16."""
SPARED = 0.05
"""Of a card: left free beside what is counted."""
SHARE = 0.25
"""Of what the model leaves of a device, for a batch of prompts with the residuals of all layers."""
MOST_PROMPTS, MOST_TOKENS, MOST_SAMPLES = 32, 2**14, 4
"""Products of so many tokens fill any device; more together are no faster."""


class AtOnce(NamedTuple):
    """What is done together."""

    prompts: int
    """`batch_size`."""
    samples: int
    """`head_attribution.samples_at_once`."""


class ModelMemory(NamedTuple):
    """What a model and a prompt's way through it are made of."""

    text_parameters: int
    """Of the language model inside, its head included."""
    parameters: int
    """Of all."""
    depth: int
    """Layers of the language model."""
    d_model: int
    n_tokens: int
    """Of the first prompt."""
    number: int
    """Bytes of a weight."""

    @property
    def model(self) -> float:
        """Bytes of the weights."""
        return float(self.parameters * self.number)

    def batch(self, n_prompts: int, n_layers: int) -> float:
        """Bytes of prompts on their way; their residuals of so many layers are kept."""
        widths = BATCH_WIDTHS + n_layers
        return float(n_prompts * self.n_tokens * widths * self.d_model * self.number)

    @property
    def gradients(self) -> float:
        """Bytes that one sample of attribution needs, clean and corrupt."""
        return GRADIENTS * self.text_parameters * self.n_tokens * self.number / 2

    def at_once(self, device: float) -> AtOnce:
        """For a device of so many bytes: a power of two of prompts; one sample at the least."""
        room = SHARE * (device - self.model) / self.batch(1, self.depth)
        n_prompts = min(room, MOST_PROMPTS, max(1, MOST_TOKENS // self.n_tokens))
        n_samples = ((1 - SPARED) * device - self.model) / self.gradients
        return AtOnce(
            2 ** (max(1, int(n_prompts)).bit_length() - 1),
            min(max(1, int(n_samples)), MOST_SAMPLES),
        )


def decided(config: RunConfig, at_once: AtOnce) -> RunConfig:
    """The configuration with these numbers where it has none."""
    attribution = config.head_attribution
    n_samples = attribution.samples_at_once or at_once.samples
    return config.model_copy(
        update={
            "batch_size": config.batch_size or at_once.prompts,
            "head_attribution": attribution.model_copy(update={"samples_at_once": n_samples}),
        }
    )


def decided_here(config: RunConfig, begun: dict[str, Any] | None) -> RunConfig:
    """With what the run began with, of which ``begun`` is the configuration, or what this device
    is for."""
    if config.batch_size and config.head_attribution.samples_at_once:
        return config
    if begun is not None:
        known = AtOnce(begun["batch_size"], begun["head_attribution"]["samples_at_once"])
        if decided(config, known).model_dump(mode="json") == begun:
            return decided(config, known)
    model = image_text_skeleton(vlm_folder(config.vlm)).model
    prompt = first_prompt(config, load_processor(config.vlm), read_data_sets(config.data))
    memory = ModelMemory(
        *count_parameters(model),
        depth=text_model(model).config.num_hidden_layers,
        d_model=text_model(model).config.hidden_size,
        n_tokens=prompt.input_ids.shape[1],
        number=weight_bytes(config),
    )
    return decided(config, memory.at_once(device_memory(config.device)))


def first_prompt(config: RunConfig, processor: ProcessorMixin, data: DataSets) -> PromptBatch:
    """Of the first base question."""
    first = data.samples["vqav2-val"][0]
    image = open_image(first.image)
    return encode_prompts(processor, [first.question], [image], suffix=config.vlm.suffix)


def count_parameters(model: PreTrainedModel) -> tuple[int, int]:
    """Of the language model inside, its head included; and of all."""
    head = model.get_output_embeddings()
    in_text = {id(weight) for weight in text_model(model).parameters()}
    in_text |= {id(weight) for weight in head.parameters()} if head is not None else set()
    weights = {id(weight): weight.numel() for weight in model.parameters()}
    return sum(n for key, n in weights.items() if key in in_text), sum(weights.values())


def weight_bytes(config: RunConfig) -> int:
    """Of one weight of the model."""
    return 2 if config.vlm.dtype == "bfloat16" else 4
