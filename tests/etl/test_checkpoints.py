import json

import pytest
import torch
from safetensors.torch import save_file

from feature_atlas.etl.checkpoints import (
    load_base_saes,
    load_llama_scope,
    load_sae,
    load_vlm,
    save_sae,
)
from feature_atlas.etl.config import SaeConfig, VlmConfig
from feature_atlas.sae import TopKSae, encode
from feature_atlas.toy.networks import new_language_model, new_vlm
from feature_atlas.toy.tokenizer import build_processor


def some_sae(d_model=128, d_sae=32):
    return TopKSae(
        torch.randn(d_model, d_sae),
        torch.randn(d_sae),
        torch.randn(d_sae, d_model),
        torch.randn(d_model),
        k=4,
        scale=0.7,
    )


def write_llama_scope(folder, d_model=16, d_sae=64, norm=2.0):
    (folder / "checkpoints").mkdir(parents=True)
    raw = {
        "encoder.weight": torch.randn(d_sae, d_model),
        "encoder.bias": torch.randn(d_sae),
        "decoder.weight": torch.randn(d_model, d_sae),
        "decoder.bias": torch.randn(d_model),
    }
    save_file(raw, folder / "checkpoints" / "final.safetensors")
    (folder / "hyperparams.json").write_text(
        json.dumps({"d_model": d_model, "dataset_average_activation_norm": {"in": norm}})
    )
    return raw


def test_a_saved_sae_comes_back_with_its_scale_and_codes(tmp_path):
    sae, x = some_sae(), torch.randn(20, 128)
    save_sae(sae, tmp_path / "sae", {"model_name": "m"})

    loaded = load_sae(tmp_path / "sae")

    assert loaded.scale == pytest.approx(0.7)
    torch.testing.assert_close(
        encode(loaded, x).values, encode(sae, x).values, rtol=1e-4, atol=1e-3
    )


def test_llama_scope_files_give_the_gate_of_its_training(tmp_path):
    raw = write_llama_scope(tmp_path, norm=2.0)
    x = torch.randn(10, 16)
    # s = sqrt(16) / 2 = 2; gate (s x E' + b_e) * |d_f|
    norm = raw["decoder.weight"].norm(dim=0)
    gate = ((2.0 * x) @ raw["encoder.weight"].T + raw["encoder.bias"]) * norm

    codes = encode(load_llama_scope(tmp_path, k=5), x)

    torch.testing.assert_close(codes.values, gate.topk(5).values.relu())


def test_a_truncated_safetensors_file_is_named(tmp_path):
    save_sae(some_sae(), tmp_path / "sae", {})
    weights = tmp_path / "sae" / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])

    with pytest.raises(ValueError, match=r"sae_weights\.safetensors cannot be read"):
        load_sae(tmp_path / "sae")


def test_an_sae_with_nan_is_named(tmp_path):
    sae = some_sae()
    sae.b_enc[3] = float("nan")
    save_sae(sae, tmp_path / "sae", {})

    with pytest.raises(ValueError, match=r"b_enc of the SAE in .*NaN"):
        load_sae(tmp_path / "sae")


def test_an_sae_without_scale_asks_for_it(tmp_path):
    save_sae(some_sae(), tmp_path / "sae", {})
    config = tmp_path / "sae" / "cfg.json"
    stated = json.loads(config.read_text())
    del stated["metadata"]["activation_scale"]
    config.write_text(json.dumps(stated))

    with pytest.raises(ValueError, match="states no activation_scale"):
        load_sae(tmp_path / "sae")
    assert load_sae(tmp_path / "sae", scale=2.0).scale == 2.0


def test_a_folder_that_is_no_sae_says_what_was_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected an SAE folder with cfg\.json"):
        load_sae(tmp_path)


@pytest.fixture(scope="module")
def vlm_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vlm")
    torch.manual_seed(0)
    new_vlm(new_language_model()).save_pretrained(folder)
    build_processor().save_pretrained(folder)
    return folder


def test_an_sae_of_another_width_is_named_before_any_work(vlm_folder, tmp_path):
    save_sae(some_sae(d_model=64), tmp_path / "layer_0", {})
    vlm = load_vlm(VlmConfig(path=str(vlm_folder), base="b", name="n"), "cpu")
    config = SaeConfig(path=str(tmp_path / "layer_{layer}"), release="r", layers=(0,))

    with pytest.raises(ValueError, match="residuals of width 64, the model's are 128 wide"):
        load_base_saes(config, vlm.model, "cpu")


def test_a_layer_that_the_model_lacks_is_named(vlm_folder, tmp_path):
    vlm = load_vlm(VlmConfig(path=str(vlm_folder), base="b", name="n"), "cpu")
    config = SaeConfig(path=str(tmp_path / "layer_{layer}"), release="r", layers=(7,))

    with pytest.raises(ValueError, match=r"layer 7 asked for, the model has 6 layers"):
        load_base_saes(config, vlm.model, "cpu")


def test_a_vlm_folder_that_is_not_there_says_what_to_set(tmp_path):
    config = VlmConfig(path=str(tmp_path / "none"), base="b", name="n")

    with pytest.raises(FileNotFoundError, match=r"set vlm\.path"):
        load_vlm(config, "cpu")


def test_the_loaded_model_has_no_gradients_and_is_in_evaluation_mode(vlm_folder):
    model = load_vlm(VlmConfig(path=str(vlm_folder), base="b", name="n"), "cpu").model

    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
