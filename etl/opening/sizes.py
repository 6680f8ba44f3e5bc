"""The sizes that a run's cost follows from: of its models, dictionaries, prompts and data."""

from typing import NamedTuple

from transformers import PreTrainedModel

from feature_atlas.etl.at_once import ModelMemory, count_parameters, weight_bytes
from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.inputs.data_sets import FURTHER, DataSets
from feature_atlas.vlm.decoder_inputs import text_model
from feature_atlas.vlm.token_roles import TEXT_ROLES, PromptBatch, Role


class Sizes(NamedTuple):
    """Counted, not estimated."""

    text_parameters: int
    """Of the language model inside, its head included."""
    vision_parameters: int
    """Of the rest: tower and projector."""
    depth: int
    """Layers of the language model."""
    n_heads: int
    """Attention heads of each."""
    n_layers: int
    """Layers studied."""
    d_model: int
    d_sae: int
    vocabulary: int
    """Tokens that a feature can make likelier."""
    image_tokens: int
    """Of the first prompt."""
    text_tokens: int
    """Of the first prompt, those whose roles are text."""
    prompt_tokens: int
    """Of the first prompt, all."""
    n_adapt: int
    n_base: int
    n_train_statements: int
    n_test_statements: int
    n_pictures: int
    n_benches: int = 0
    """Data sets that removals are scored on beside VSR and VQAv2."""

    @property
    def dictionary_bytes(self) -> int:
        """One dictionary in float32: encoder, decoder and their biases."""
        return 4 * (2 * self.d_model * self.d_sae + self.d_model + self.d_sae)

    @property
    def n_features(self) -> int:
        """Of all layers together."""
        return self.n_layers * self.d_sae

    def memory(self, config: RunConfig) -> ModelMemory:
        """What the model and a prompt's way through it take."""
        return ModelMemory(
            self.text_parameters,
            self.text_parameters + self.vision_parameters,
            self.depth,
            self.d_model,
            self.prompt_tokens,
            weight_bytes(config),
        )


def sizes_of(
    config: RunConfig, model: PreTrainedModel, d_sae: int, prompt: PromptBatch, data: DataSets
) -> Sizes:
    """Count everything."""
    inner = text_model(model)
    text, every = count_parameters(model)
    roles = prompt.roles[0].tolist()
    samples = data.samples
    return Sizes(
        text_parameters=text,
        vision_parameters=every - text,
        depth=inner.config.num_hidden_layers,
        n_heads=inner.config.num_attention_heads,
        n_layers=len(config.sae.layers),
        d_model=inner.config.hidden_size,
        d_sae=d_sae,
        vocabulary=inner.config.vocab_size,
        image_tokens=roles.count(Role.IMAGE),
        text_tokens=sum(role in TEXT_ROLES for role in roles),
        prompt_tokens=len(roles),
        n_adapt=len(samples["vqav2-train"]),
        n_base=len(samples["vqav2-val"]),
        n_train_statements=len(samples["vsr-train"]),
        n_test_statements=len(samples["vsr-test"]),
        n_benches=sum(split in samples for split in FURTHER.values()),
        n_pictures=len({one.image for split in samples.values() for one in split}),
    )
