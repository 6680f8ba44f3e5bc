"""The towers known by name make models of the size that LLaVA-MORE's releases state."""

from math import prod

import pytest
from transformers import LlamaConfig, LlavaConfig

from feature_atlas.etl.inputs.llava_original.layout import expected_shapes
from feature_atlas.etl.inputs.llava_original.vision_tower import find_vision_tower


@pytest.mark.parametrize(
    ("name", "n_billion", "n_patches"),
    [
        ("openai/clip-vit-large-patch14-336", 8.35, 576),
        ("google/siglip-so400m-patch14-384", 8.48, 729),
    ],
)
def test_a_release_has_the_parameters_that_its_card_states(
    name: str, n_billion: float, n_patches: int
):
    tower = find_vision_tower(name, given=None, weights_needed=False)
    text = LlamaConfig(
        vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_key_value_heads=8
    )

    shapes = expected_shapes(LlavaConfig(text_config=text, vision_config=tower.config))

    assert sum(map(prod, shapes.values())) / 1e9 == pytest.approx(n_billion, abs=0.005)
    assert tower.n_patches == n_patches
