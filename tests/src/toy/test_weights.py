"""The networks that ship: what they must be able to do, and how little room they take."""

import pytest
import torch
from transformers import LlamaForCausalLM, LlavaForConditionalGeneration

from feature_atlas.dictionary.sae_lens_form import from_sae_lens
from feature_atlas.toy.base_sae import held_out_residuals, quality
from feature_atlas.toy.examination import (
    examine_language,
    examine_vlm,
    mean_image_embedding,
    new_exam,
)
from feature_atlas.toy.networks import N_LAYERS, WIDTH
from feature_atlas.toy.relations import RELATIONS
from feature_atlas.toy.weights import WEIGHTS, language_model_path, sae_path, vlm_path

MEGABYTE = 1_000_000
SEED = 4_242_424  # of no training and no report


@pytest.fixture(scope="module")
def vlm():
    return LlavaForConditionalGeneration.from_pretrained(vlm_path()).eval()


@pytest.fixture(scope="module")
def language_model():
    return LlamaForCausalLM.from_pretrained(language_model_path()).eval()


@pytest.fixture(scope="module")
def exam():
    return new_exam(SEED, n_scenes=150)


@pytest.fixture(scope="module")
def seeing(vlm, exam):
    return examine_vlm(vlm, exam)


@pytest.fixture(scope="module")
def blind(vlm, exam):
    return examine_vlm(vlm, exam, mean_image_embedding(vlm, SEED + 1, 300))


def test_the_vlm_answers_spatial_questions_about_pictures_it_never_saw(seeing):
    assert seeing["spatial"] >= 0.95
    assert seeing["statement"] >= 0.90
    assert min(seeing[f"spatial: {relation}"] for relation in RELATIONS) >= 0.85


def test_the_vlm_cannot_answer_them_from_the_words_alone(blind):
    assert blind["spatial"] <= 0.60
    assert blind["statement"] <= 0.60


@pytest.mark.parametrize("kind", ["shape", "where", "sign", "sign_exists"])
def test_the_vlm_says_what_it_sees_in_one_place(kind, seeing):
    assert seeing[kind] >= 0.90


@pytest.mark.parametrize("kind", ["exists", "attribute", "colour", "sign_says", "positions"])
def test_the_vlm_checks_what_it_sees(kind, seeing):
    assert seeing[kind] >= 0.90


def test_the_vlm_counts_mostly_right(seeing, blind):
    assert seeing["count"] >= 0.75 > 0.5 > blind["count"]


def test_the_language_model_answers_from_a_scene_in_words(language_model, exam):
    assert examine_language(language_model, exam)["spatial"] >= 0.90


def test_the_language_model_knows_nothing_of_pictures(language_model, vlm):
    assert isinstance(language_model, LlamaForCausalLM)
    assert vlm.config.text_config.num_hidden_layers == language_model.config.num_hidden_layers >= 6
    assert language_model.config.num_key_value_heads < language_model.config.num_attention_heads


def test_everything_that_ships_is_under_20_megabytes():
    assert sum(file.stat().st_size for file in WEIGHTS.rglob("*")) < 20 * MEGABYTE


@pytest.fixture(scope="module")
def residuals(language_model):
    return held_out_residuals(language_model, SEED)


@pytest.mark.parametrize("layer", range(N_LAYERS))
def test_the_base_sae_loads_with_sae_lens_and_rebuilds_the_residual(layer, residuals):
    from sae_lens import SAE

    sae = SAE.load_from_disk(str(sae_path(layer)))
    scale = sae.cfg.metadata.activation_scale

    assert sae.cfg.metadata.hook_name == f"blocks.{layer}.hook_resid_post"
    assert sae.cfg.architecture() == "topk"
    torch.testing.assert_close(sae.W_dec.norm(dim=-1), torch.ones(sae.cfg.d_sae))
    assert quality(from_sae_lens(sae, scale), residuals[layer]).fvu < 0.15
    x = residuals[layer][:500]
    error = (x - sae.decode(sae.encode(x))).square().sum()
    assert error / (x - x.mean(0)).square().sum() < 0.15


@pytest.mark.parametrize("layer", range(N_LAYERS))
def test_the_scale_in_the_metadata_brings_the_average_norm_to_the_root_of_the_width(
    layer, residuals
):
    from sae_lens import SAE

    scale = SAE.load_from_disk(str(sae_path(layer))).cfg.metadata.activation_scale

    assert scale * residuals[layer].norm(dim=-1).mean() == pytest.approx(WIDTH**0.5, rel=0.05)
