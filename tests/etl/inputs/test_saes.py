import json

import pytest
import torch
from safetensors.torch import save_file

from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Sae, encode
from feature_atlas.etl.config.inputs import SaeConfig, VlmConfig
from feature_atlas.etl.inputs import sae_release
from feature_atlas.etl.inputs.base_saes import BaseSaes
from feature_atlas.etl.inputs.checkpoints import load_vlm
from feature_atlas.etl.inputs.llama_scope import load_llama_scope
from feature_atlas.etl.inputs.saes import load_sae, save_sae


def some_sae(d_model=128, d_sae=32):
    return Sae(
        torch.randn(d_model, d_sae),
        torch.randn(d_sae),
        torch.randn(d_sae, d_model),
        torch.randn(d_model),
        gate=TopK(4),
        scale=0.7,
    )


def write_llama_scope(folder, d_model=16, d_sae=64, norm=2.0, **settings):
    (folder / "checkpoints").mkdir(parents=True)
    raw = {
        "encoder.weight": torch.randn(d_sae, d_model),
        "encoder.bias": torch.randn(d_sae),
        "decoder.weight": torch.randn(d_model, d_sae),
        "decoder.bias": torch.randn(d_model),
    }
    save_file(raw, folder / "checkpoints" / "final.safetensors")
    stated = {"d_model": d_model, "dataset_average_activation_norm": {"in": norm}}
    (folder / "hyperparams.json").write_text(json.dumps(stated | settings))
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

    expected = gate.topk(5).values.relu()
    torch.testing.assert_close(codes.values, expected, rtol=1e-4, atol=1e-4)


def test_llama_scope_files_give_the_k_and_scale_they_state(tmp_path):
    write_llama_scope(tmp_path, norm=2.0, top_k=7, hook_point_in="blocks.3.hook_resid_post")

    sae = load_llama_scope(tmp_path, scale=2.0, layer=3)

    assert (sae.gate.k, sae.scale) == (7, 2.0)


@pytest.mark.parametrize(
    ("settings", "asked", "said"),
    [
        ({"top_k": 7}, {"k": 50}, r"says top_k 7, and sae\.k is 50: set sae\.k to 7"),
        ({}, {}, r"says no top_k: set sae\.k"),
        ({"top_k": 7}, {"scale": 1.5}, r"states the scale 2, and sae\.scales gives 1\.5"),
        (
            {"hook_point_in": "blocks.3.hook_resid_post", "top_k": 7},
            {"layer": 4},
            "the output of layer 3, and is given for layer 4",
        ),
        (
            {"hook_point_in": "blocks.3.hook_mlp_out", "top_k": 7},
            {"layer": 3},
            "expected the residual stream",
        ),
        ({"use_glu_encoder": True, "top_k": 7}, {}, "says use_glu_encoder True, expected False"),
        ({"tied_encoder": True, "top_k": 7}, {}, "says tied_encoder True, expected False"),
        ({"act_fn": "relu", "top_k": 7}, {}, "says act_fn 'relu', expected 'jumprelu' or 'topk'"),
        (
            {"norm_activation": "token-wise", "top_k": 7},
            {},
            "says norm_activation 'token-wise', expected 'dataset-wise'",
        ),
        (
            {"hook_point_in": "layers.3", "hook_point_out": "layers.4", "top_k": 7},
            {},
            "hook_point_in layers.3 and hook_point_out layers.4.*a transcoder",
        ),
        ({"temperature": 2, "top_k": 7}, {}, "settings unknown here: temperature"),
        ({"top_k": 7.5}, {}, r"says top_k 7\.5, expected a whole number"),
        ({"top_k": "7"}, {}, r"says top_k '7', expected a number above 0"),
        ({"top_k": True}, {}, r"says top_k True, expected a number above 0"),
        (
            {"expansion_factor": "4", "top_k": 7},
            {},
            r"says expansion_factor '4', expected a number",
        ),
        ({"hook_point_in": 3, "top_k": 7}, {}, r"reads 3, which is no name known here"),
        (
            {"dataset_average_activation_norm": {"in": 0, "out": 2}, "top_k": 7},
            {},
            r"hyperparams\.json says in 0, expected a number above 0",
        ),
        (
            {"dataset_average_activation_norm": [2.0], "top_k": 7},
            {},
            r"says dataset_average_activation_norm \[2\.0\], expected an object",
        ),
        ({"expansion_factor": 2, "top_k": 7}, {}, r"of shape .*64.*beside it say .*32"),
        ({"use_decoder_bias": False, "top_k": 7}, {}, r"has decoder\.bias beyond"),
    ],
)
def test_llama_scope_files_for_something_else_are_refused(settings, asked, said, tmp_path):
    write_llama_scope(tmp_path, **settings)

    with pytest.raises(ValueError, match=said):
        load_llama_scope(tmp_path, **asked)


def test_llama_scope_as_saelens_saves_it_is_the_same_topk_sae(tmp_path):
    from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    raw = write_llama_scope(tmp_path / "raw", norm=2.0, top_k=5)
    said = SAEMetadata(dataset_path="cerebras/SlimPajama-627B")  # as SAELens' loader says
    theirs = JumpReLUSAE(
        JumpReLUSAEConfig(d_in=16, d_sae=64, apply_b_dec_to_input=False, metadata=said)
    )
    theirs.load_state_dict(
        {
            "W_enc": raw["encoder.weight"].T.contiguous(),
            "b_enc": raw["encoder.bias"],
            "W_dec": raw["decoder.weight"].T.contiguous(),
            "b_dec": raw["decoder.bias"],
            "threshold": torch.full((64,), 0.7 * 2.0),
        }
    )
    theirs.fold_activation_norm_scaling_factor(2.0)
    theirs.save_model(tmp_path / "saved")
    x = torch.randn(10, 16)

    ours = load_llama_scope(tmp_path / "raw")
    again = load_sae(tmp_path / "saved", scale=2.0, k=5)

    torch.testing.assert_close(encode(again, x), encode(ours, x))
    torch.testing.assert_close(again.w_dec, ours.w_dec)


def test_an_intermediate_checkpoint_is_refused_and_a_final_one_is_not(tmp_path):
    save_sae(some_sae(), tmp_path / "sae", {})
    scaler = tmp_path / "sae" / "activation_scaler.json"
    scaler.write_text(json.dumps({"scaling_factor": None, "has_whitening": False}))
    load_sae(tmp_path / "sae")
    scaler.write_text(json.dumps({"scaling_factor": 0.7, "has_whitening": False}))

    with pytest.raises(ValueError, match=r"intermediate checkpoint\. Use the final one"):
        load_sae(tmp_path / "sae")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"k": 5}, "k is 5, and the SAE was trained with 4"),
        ({"scale": 0.8}, r"states the scale 0\.7, and sae\.scales gives 0\.8"),
        ({"layer": 2}, "the output of layer 1, and is given for layer 2"),
    ],
)
def test_an_sae_for_something_else_is_refused(asked, said, tmp_path):
    save_sae(some_sae(), tmp_path / "sae", {"hook_name": "blocks.1.hook_resid_post"})

    with pytest.raises(ValueError, match=said):
        load_sae(tmp_path / "sae", **asked)


def test_the_input_of_a_block_is_the_output_of_the_one_before(tmp_path):
    save_sae(some_sae(), tmp_path / "sae", {"hook_name": "blocks.2.hook_resid_pre"})

    load_sae(tmp_path / "sae", layer=1)
    with pytest.raises(ValueError, match="the output of layer 1, and is given for layer 2"):
        load_sae(tmp_path / "sae", layer=2)


def released(**changes):
    config = {"source": "sae_lens_release", "path": "llama_scope_lxr_8x", "release": "r"}
    return SaeConfig(**config | {"layers": (0,)} | changes)


def test_a_release_is_found_with_what_its_directory_states():
    entry = sae_release.find_released(released(), 24)

    assert (entry.repository, entry.folder) == (
        "fnlp/Llama3_1-8B-Base-LXR-8x",
        "Llama3_1-8B-Base-L24R-8x",
    )
    assert entry.is_llama_scope
    assert entry.scale == pytest.approx(2.19, abs=0.01)
    assert (entry.l0, entry.fvu) == (50, None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"path": "llama_scope_lxr_9x"}, "no SAELens release.*like it are .*llama_scope_lxr_8x"),
        ({"sae_id": "l{layer}_8x"}, "has no 'l3_8x'; like it are l3r_8x"),
    ],
)
def test_a_release_or_an_id_that_is_not_there_names_those_like_it(changes, said):
    with pytest.raises(ValueError, match=said):
        sae_release.find_released(released(**changes), 3)


def test_a_release_in_llama_scopes_files_is_read_from_its_folder(vlm_folder, tmp_path, monkeypatch):
    folder = tmp_path / "Llama3_1-8B-Base-L0R-8x"
    write_llama_scope(folder, d_model=128, norm=4.0, top_k=7)
    monkeypatch.setattr(
        "sae_lens.loading.pretrained_sae_loaders.hf_hub_download",
        lambda _, file: str(tmp_path / file),
    )
    vlm = load_vlm(VlmConfig(path=str(vlm_folder), base="b", name="n"), "cpu")

    sae = BaseSaes(released(), vlm.model, "cpu")[0]

    assert sae.gate.k == 7
    assert sae.scale == pytest.approx(128**0.5 / 4)


def test_a_release_that_saelens_reads_is_checked_like_a_folder(vlm_folder, tmp_path, monkeypatch):
    from sae_lens import SAE

    save_sae(some_sae(), tmp_path / "sae", {"hook_name": "blocks.7.hook_resid_post"})
    entry = sae_release.find_released(released(), 7)._replace(conversion="sae_lens")
    monkeypatch.setattr(SAE, "from_pretrained", lambda *_: SAE.load_from_disk(tmp_path / "sae"))
    monkeypatch.setattr("feature_atlas.etl.inputs.saes.find_released", lambda *_: entry)
    vlm = load_vlm(VlmConfig(path=str(vlm_folder), base="b", name="n"), "cpu")

    with pytest.raises(ValueError, match="the output of layer 7, and is given for layer 0"):
        _ = BaseSaes(released(), vlm.model, "cpu").facts


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


def test_an_sae_of_another_width_is_named_before_any_work(vlm_folder, tmp_path):
    save_sae(some_sae(d_model=64), tmp_path / "layer_0", {})
    vlm = load_vlm(VlmConfig(path=str(vlm_folder), base="b", name="n"), "cpu")
    config = SaeConfig(path=str(tmp_path / "layer_{layer}"), release="r", layers=(0,))

    with pytest.raises(ValueError, match="residuals of width 64, the model's are 128 wide"):
        _ = BaseSaes(config, vlm.model, "cpu").facts


def test_an_sae_that_fires_more_features_than_it_has_is_named_before_any_work(vlm_folder, tmp_path):
    save_sae(some_sae()._replace(gate=TopK(33)), tmp_path / "layer_0", {})
    vlm = load_vlm(VlmConfig(path=str(vlm_folder), base="b", name="n"), "cpu")
    config = SaeConfig(path=str(tmp_path / "layer_{layer}"), release="r", layers=(0,))

    with pytest.raises(ValueError, match=r"layer_0\) fires 33 of 32 features on a token"):
        _ = BaseSaes(config, vlm.model, "cpu").facts


def test_a_layer_that_the_model_lacks_is_named(vlm_folder, tmp_path):
    vlm = load_vlm(VlmConfig(path=str(vlm_folder), base="b", name="n"), "cpu")
    config = SaeConfig(path=str(tmp_path / "layer_{layer}"), release="r", layers=(7,))

    with pytest.raises(ValueError, match=r"layer 7 asked for, the model has 6 layers"):
        _ = BaseSaes(config, vlm.model, "cpu").facts
