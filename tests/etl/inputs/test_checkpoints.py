import pytest
import torch
from random_llama import text_config
from transformers import LlamaForCausalLM

from feature_atlas.etl.config.inputs import BaseModelConfig, VlmConfig
from feature_atlas.etl.inputs.checkpoints import load_base_model, load_vlm
from feature_atlas.toy.networks import new_language_model
from feature_atlas.toy.tokenizer import build_tokenizer


def test_a_vlm_folder_that_is_not_there_says_what_to_set(tmp_path):
    config = VlmConfig(path=str(tmp_path / "none"), base="b", name="n")

    with pytest.raises(FileNotFoundError, match=r"set vlm\.path"):
        load_vlm(config, "cpu")


def test_the_loaded_model_has_no_gradients_and_is_in_evaluation_mode(vlm_folder):
    model = load_vlm(VlmConfig(path=str(vlm_folder), base="b", name="n"), "cpu").model

    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    new_language_model().save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return folder


def base_config(folder):
    return BaseModelConfig(path=str(folder), text=folder / "text.txt")


def test_the_base_model_is_loaded_like_the_vlm_frozen_and_of_its_size(vlm_folder, base_folder):
    vlm = load_vlm(VlmConfig(path=str(vlm_folder), base="b", name="n"), "cpu").model

    base = load_base_model(base_config(base_folder), vlm, "bfloat16", "cpu")

    assert base.model.dtype == torch.bfloat16
    assert not any(p.requires_grad for p in base.model.parameters())
    assert base.tokenizer.bos_token == "<bos>"


def test_a_base_model_of_another_size_is_refused(vlm_folder, tmp_path):
    LlamaForCausalLM(text_config()).save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)
    vlm = load_vlm(VlmConfig(path=str(vlm_folder), base="b", name="n"), "cpu").model

    with pytest.raises(ValueError, match=r"4 layers of width 32, the VLM's.* 6 of width 128"):
        load_base_model(base_config(tmp_path), vlm, "float32", "cpu")


def test_a_base_model_that_is_not_there_says_what_to_set(vlm_folder, tmp_path):
    vlm = load_vlm(VlmConfig(path=str(vlm_folder), base="b", name="n"), "cpu").model

    with pytest.raises(FileNotFoundError, match=r"set base_model\.path"):
        load_base_model(base_config(tmp_path / "none"), vlm, "float32", "cpu")
