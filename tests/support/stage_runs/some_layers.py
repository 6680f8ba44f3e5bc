"""The demo's configuration for some of its layers, which takes less time."""

from collections.abc import Sequence

from feature_atlas.etl.config.run_config import RunConfig


def of_layers(config: RunConfig, layers: Sequence[int]) -> RunConfig:
    """Its dictionaries of these layers, and what is stated of them."""
    assert config.base_model is not None
    stated = {layer: config.base_model.stated[layer] for layer in layers}
    return config.model_copy(
        update={
            "sae": config.sae.model_copy(update={"layers": tuple(layers)}),
            "base_model": config.base_model.model_copy(update={"stated": stated}),
        }
    )
