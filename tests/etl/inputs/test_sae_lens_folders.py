"""SAELens folders of every gate that it trains, and what is refused of folders and releases."""

import json
from pathlib import Path
from typing import Any

import pytest
import released_saes as fakes
import torch
from released_saes import D, F, K

from feature_atlas.dictionary.gate import kind
from feature_atlas.dictionary.sae import decode, encode
from feature_atlas.etl.config.inputs import SaeConfig
from feature_atlas.etl.inputs.sae_release import find_released, load_released
from feature_atlas.etl.inputs.sae_stated import stated_by_release
from feature_atlas.etl.inputs.saes import load_sae
from feature_atlas.etl.inputs.sparsify import load_sparsify

SCALE = 1.7


def trained(kind_of: str, folder: Path, **settings: Any) -> Any:
    """A training SAE of SAELens with some weights, saved as its inference SAE."""
    from sae_lens.registry import get_sae_training_class

    made, config = get_sae_training_class(kind_of)
    sae = made(config(**{"d_in": D, "d_sae": F} | settings))
    for name, weight in sae.named_parameters():
        weight.data = (
            torch.randn_like(weight).abs() if name == "threshold" else torch.randn_like(weight)
        )
    if hasattr(sae, "topk_threshold"):
        sae.topk_threshold.fill_(2.5)
    sae.cfg.metadata.activation_scale = SCALE
    sae.cfg.metadata.hook_name = "blocks.3.hook_resid_post"
    sae.save_inference_model(folder)
    return sae


TRAINED = {
    "standard": ("relu", {}),
    "jumprelu": ("threshold", {}),
    "topk": ("topk", {"k": K}),
    "batchtopk": ("threshold", {"k": K}),
    "matryoshka_batchtopk": ("threshold", {"k": K, "matryoshka_widths": [16, F]}),
}


@pytest.mark.parametrize("bias_first", [False, True])
@pytest.mark.parametrize("architecture", TRAINED)
def test_what_saelens_trains_is_read_as_saelens_reads_it(architecture, bias_first, tmp_path):
    from sae_lens import SAE

    gate, settings = TRAINED[architecture]
    trained(architecture, tmp_path, apply_b_dec_to_input=bias_first, **settings)
    theirs, x = SAE.load_from_disk(tmp_path), torch.randn(100, D)

    ours = load_sae(tmp_path, layer=3)

    codes = encode(ours, x)
    dense = torch.zeros(100, F).scatter_add(1, codes.indices, codes.values) / SCALE
    lengths = theirs.encode(x) * theirs.W_dec.norm(dim=-1)
    torch.testing.assert_close(dense, lengths, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(decode(ours, codes), theirs(x), rtol=1e-4, atol=1e-4)
    assert kind(ours.gate) == gate


@pytest.mark.parametrize("architecture", ["batchtopk", "matryoshka_batchtopk"])
def test_a_batchtopk_sae_keeps_its_own_gate_whatever_k_is_given(architecture, tmp_path):
    trained(architecture, tmp_path, **TRAINED[architecture][1])

    with pytest.raises(ValueError, match=rf"\({architecture}\) fires whatever.*leave sae\.k out"):
        load_sae(tmp_path, k=K)


def test_the_l0_of_a_batchtopk_sae_is_the_k_of_its_training(tmp_path):
    trained("batchtopk", tmp_path, k=K)
    config = SaeConfig(path=str(tmp_path), release="r", layers=(3,))

    assert stated_by_release(config, 3, F).l0 == K


def test_a_training_checkpoint_says_how_to_save_it(tmp_path):
    sae = trained("batchtopk", tmp_path / "final", k=K)
    sae.save_model(tmp_path / "checkpoint")

    with pytest.raises(ValueError, match=r"architecture 'batchtopk'.*save_inference_model"):
        load_sae(tmp_path / "checkpoint")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"normalize_activations": "layer_norm"}, "normalize_activations='layer_norm', expected"),
        ({"reshape_activations": "hook_z"}, "expected the residual stream"),
        ({"activation_fn": "tanh-relu"}, "says activation_fn 'tanh-relu'"),
        ({"finetuning_scaling_factor": True}, "finetuning_scaling_factor True, expected"),
        ({"architecture": "gated"}, "architecture 'gated', expected one of topk, jumprelu"),
        ({"metadata": {"hook_name": "blocks.3.hook_z"}}, r"reads blocks\.3\.hook_z"),
        ({"metadata": {"hf_hook_name": "model.layers.4.output"}}, "the output of layer 4"),
        (
            {"metadata": {"hook_name": "layers.3", "hook_name_out": "blocks.3.hook_mlp_out"}},
            "this is a transcoder",
        ),
    ],
)
def test_what_a_folder_states_is_understood_or_refused(changed, said, tmp_path):
    trained("standard", tmp_path)
    file = tmp_path / "cfg.json"
    settings = json.loads(file.read_text())
    metadata = {"sae_lens_version": "6.54.12", "activation_scale": SCALE} | changed.pop(
        "metadata", {}
    )
    file.write_text(json.dumps(settings | changed | {"metadata": metadata}))

    with pytest.raises(ValueError, match=said):
        load_sae(tmp_path, layer=3)


def test_a_release_that_is_not_here_names_itself_and_the_folder_to_fill(monkeypatch, tmp_path):
    from sae_lens.loading import pretrained_sae_loaders as loaders

    def offline(*_: object, **__: object) -> str:
        raise ConnectionError("no route to the hub")

    monkeypatch.setattr(loaders, "hf_hub_download", offline)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    config = SaeConfig(
        source="sae_lens_release",
        path="gemma-scope-2-4b-it-res",
        sae_id="layer_{layer}_width_16k_l0_medium",
        release="r",
        layers=(17,),
    )

    with pytest.raises(FileNotFoundError) as raised:
        load_released(config, 17, find_released(config, 17))

    said = str(raised.value)
    assert said.startswith("cannot get gemma-scope-2-4b-it-res layer_17_width_16k_l0_medium")
    assert "hf download google/gemma-scope-2-4b-it" in said
    assert said.endswith(f"{tmp_path}/models--google--gemma-scope-2-4b-it.")


@pytest.mark.parametrize(
    ("name", "settings", "asked", "said"),
    [
        ("layers.23.mlp", {}, {}, r"reads layers\.23\.mlp: expected the residual stream"),
        ("layers.24", {}, {"layer": 23}, "the output of layer 24, and is given for layer 23"),
        ("my_sae", {}, {}, "reads my_sae, which is no name known here"),
        ("layers.24", {"transcode": True}, {}, "says transcode True, expected False"),
        ("layers.24", {"signed": True}, {}, "says signed True, expected False"),
        ("layers.24", {"activation": "groupmax"}, {}, "says activation 'groupmax'"),
        ("layers.24", {"temperature": 1}, {}, "settings unknown here: temperature"),
        ("layers.24", {"k": "4"}, {}, r"cfg\.json says k '4', expected a number above 0"),
        ("layers.24", {"k": 4.5}, {}, r"says k 4\.5, expected a whole number"),
        ("layers.24", {"k": None}, {}, "says no k"),
        ("layers.24", {"num_latents": 32}, {}, r"of shape \(64, 8\).*say \(32, 8\)"),
        ("layers.24", {}, {"k": 9}, r"says k 4, and sae\.k is 9"),
        ("layers.24", {}, {"scale": None}, "states no activation_scale"),
    ],
)
def test_a_sparsify_folder_of_something_else_is_refused(name, settings, asked, said, tmp_path):
    fakes.sparsify(tmp_path / name, **settings)

    with pytest.raises(ValueError, match=said):
        load_sparsify(tmp_path / name, **{"scale": SCALE} | asked)


def test_a_sparsify_transcoder_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    fakes.sparsify(tmp_path / "layers.24")
    file = tmp_path / "layers.24" / "sae.safetensors"
    save_file(load_file(file) | {"W_skip": torch.zeros(D, D)}, file)

    with pytest.raises(ValueError, match="has W_skip: expected a dictionary, this is a transcoder"):
        load_sparsify(tmp_path / "layers.24", scale=SCALE)


def test_a_sparsify_file_with_another_key_names_it(tmp_path):
    from safetensors.torch import load_file, save_file

    fakes.sparsify(tmp_path / "layers.24")
    file = tmp_path / "layers.24" / "sae.safetensors"
    weights = load_file(file)
    weights["decoder.bias"] = weights.pop("b_dec")
    save_file(weights, file)

    with pytest.raises(ValueError, match=r"lacks b_dec and has decoder\.bias beyond"):
        load_sparsify(tmp_path / "layers.24", scale=SCALE)
