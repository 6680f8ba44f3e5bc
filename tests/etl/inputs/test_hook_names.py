import pytest

from feature_atlas.etl.inputs.hook_names import layer_read


@pytest.mark.parametrize(
    "stated",
    [
        "blocks.7.hook_resid_post",
        "blocks.8.hook_resid_pre",
        "model.layers.7",
        "model.layers.7.output",
        "model.layers.8.input",
        "model.language_model.layers.7",
        "model.language_model.layers.7.output",
        "language_model.model.layers.7",
        "layers.7",
        "layer_7",
        "resid_post_layer_7",
        "resid_pre_layer_8",
        "transformer.h.7",
        "gpt_neox.layers.7",
    ],
)
def test_every_spelling_of_the_output_of_a_layer_is_understood(stated):
    assert layer_read(stated) == 7


def test_the_input_of_the_first_layer_are_the_embeddings():
    assert layer_read("blocks.0.hook_resid_pre") == -1


@pytest.mark.parametrize(
    "stated",
    [
        "blocks.7.hook_mlp_out",
        "blocks.7.hook_resid_mid",
        "blocks.7.attn.hook_z",
        "model.layers.7.mlp",
        "model.layers.7.self_attn.o_proj.input",
        "model.layers.7.post_feedforward_layernorm.output",
        "layers.7.mlp",
        "mlp_out_layer_7",
        "transcoder_layer_7",
    ],
)
def test_another_place_is_refused(stated):
    with pytest.raises(ValueError, match=r"reads .*: expected the residual stream after a layer"):
        layer_read(stated)


@pytest.mark.parametrize(
    "stated", ["hook_embed", "vision_tower.layers.7", "residual", "", "layer", "blocks.x.output"]
)
def test_a_name_that_nobody_knows_is_refused(stated):
    with pytest.raises(ValueError, match="no name known here"):
        layer_read(stated)
