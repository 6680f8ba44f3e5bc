"""What is not understood is refused, with its name and reason, and before anything is written."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from original_llava import (
    FAMILIES,
    PROJECTOR,
    TOWER,
    original_weights,
    tokenizer_of,
    write_original,
    write_shards,
    write_tower,
)
from safetensors.torch import load_file, save_file

from feature_atlas.etl.inputs.llava_original.conversion import plan_conversion


@pytest.fixture
def tower(tmp_path: Path) -> str:
    return str(write_tower(tmp_path / "tower", "clip"))


def rewritten(source: Path, **changes: torch.Tensor | None) -> Path:
    """The same checkpoint with other tensors; None takes one away."""
    weights = original_weights(source) | changes
    write_shards(source, {n: t for n, t in weights.items() if t is not None}, 1)
    return source


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"s2": True}, "s2 is True.*several scales"),
        ({"mm_hidden_size": 96}, "mm_hidden_size is 96.*32 wide.*several scales"),
        ({"mm_projector_type": "linear"}, "'linear', expected 'mlp2x_gelu'.*two layers"),
        ({"mm_use_im_start_end": True}, "mm_use_im_start_end is True.*<im_start>"),
        ({"mm_patch_merge_type": "spatial_unpad"}, "spatial_unpad.*one tile"),
        ({"image_aspect_ratio": "anyres"}, "anyres.*one tile"),
        ({"model_type": "llava_mpt"}, "model_type 'llava_mpt': expected one of"),
        ({"model_type": "llava"}, "transformers' layout already"),
        ({"mm_depth_scale": 2}, "settings that the conversion does not know.*mm_depth_scale"),
    ],
)
def test_a_setting_that_changes_the_computation_is_refused(
    tmp_path: Path, tower: str, setting: dict[str, Any], words: str
):
    source = write_original(tmp_path / "original", **setting)

    with pytest.raises(ValueError, match=f"(?s){words}"):
        plan_conversion(source, tower)


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        (f"{PROJECTOR}2.bias", None, r"missing .*: multi_modal_projector.linear_2.bias\."),
        ("model.layers.0.mlp.up_proj.lora_A.weight", torch.ones(2, 2), "unexpected.*lora_A"),
        (f"{TOWER}post_layernorm.bias", torch.ones(5), r"post_layernorm.bias is \(5,\).*\(32,\)"),
        ("model.norm.weight", torch.ones(64, dtype=torch.int64), "model.norm.weight is of torch.i"),
    ],
)
def test_each_tensor_is_there_once_and_of_its_shape(
    tmp_path: Path, tower: str, name: str, tensor: torch.Tensor | None, words: str
):
    source = rewritten(write_original(tmp_path / "original"), **{name: tensor})

    with pytest.raises(ValueError, match=f"(?s){words}.*Nothing was written"):
        plan_conversion(source, tower)


def test_what_older_versions_saved_beside_the_weights_is_left_out(tmp_path: Path, tower: str):
    source = write_original(tmp_path / "original")
    n_tensors = len(original_weights(source))
    computed = {
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8),
        f"{TOWER}embeddings.position_ids": torch.arange(17)[None],
    }

    plan = plan_conversion(rewritten(source, **computed), tower)

    assert len(plan.tensors) == n_tensors


def test_a_file_too_few_or_truncated_is_named(tmp_path: Path, tower: str):
    lacking = write_original(tmp_path / "lacking", n_files=3)
    (lacking / "model-00002-of-00003.safetensors").unlink()
    file = write_original(tmp_path / "truncated") / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])

    with pytest.raises(FileNotFoundError, match=r"names model-00002-of-00003\.safetensors"):
        plan_conversion(lacking, tower)
    with pytest.raises(ValueError, match=r"model\.safetensors cannot be read"):
        plan_conversion(file.parent, tower)


def test_a_tensor_under_two_names_is_refused(tmp_path: Path, tower: str):
    weights = load_file(Path(tower, "model.safetensors"))
    weights["post_layernorm.bias"] = weights["vision_model.post_layernorm.bias"].clone()
    save_file(weights, Path(tower, "model.safetensors"))

    with pytest.raises(ValueError, match=r"post_layernorm.bias .* are both vision_tower"):
        plan_conversion(write_original(tmp_path / "original", tower_inside=False), tower)


def test_an_output_matrix_apart_from_a_tied_embedding_is_refused(tmp_path: Path, tower: str):
    source = write_original(tmp_path / "original", "gemma_2")
    embedding = original_weights(source)["model.embed_tokens.weight"]

    plan_conversion(rewritten(source, **{"lm_head.weight": embedding}), tower)
    with pytest.raises(ValueError, match=r"lm_head.weight .* is not the embedding"):
        plan_conversion(rewritten(source, **{"lm_head.weight": embedding + 1}), tower)


def test_the_tower_inside_must_be_the_one_named(tmp_path: Path):
    source = write_original(tmp_path / "original")

    with pytest.raises(ValueError, match="mm_hidden_size is 32, the vision tower openai/clip"):
        plan_conversion(source)


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("config.json", {"model_type": "dinov2"}, "is a dinov2: expected clip_vision_model or"),
        ("preprocessor_config.json", {"feature_extractor_type": "ViTFeatureExtractor"}, "of a ViT"),
    ],
)
def test_a_tower_of_another_kind_is_refused(
    tmp_path: Path, tower: str, file: str, change: dict[str, str], words: str
):
    said = json.loads(Path(tower, file).read_text())
    Path(tower, file).write_text(json.dumps(said | change))

    with pytest.raises(ValueError, match=words):
        plan_conversion(write_original(tmp_path / "original"), tower)


def test_a_tower_that_is_nowhere_is_asked_for(tmp_path: Path):
    source = write_original(tmp_path / "original", mm_vision_tower="/nowhere/clip")

    with pytest.raises(FileNotFoundError, match=r"no vision tower at '/nowhere/clip': name.*--vis"):
        plan_conversion(source)


def test_a_vocabulary_without_a_free_token_is_refused(tmp_path: Path, tower: str):
    n_used = len(tokenizer_of(FAMILIES["vicuna"]))
    source = write_original(tmp_path / "original", "vicuna", vocab_size=n_used)

    with pytest.raises(
        ValueError, match=rf"{n_used} tokens for {n_used} rows.*change the model's probab"
    ):
        plan_conversion(source, tower)


def test_a_tokenizer_that_reads_the_question_differently_after_a_picture_is_refused(
    tmp_path: Path, tower: str
):
    file = write_original(tmp_path / "original", "vicuna") / "tokenizer.json"
    said = json.loads(file.read_text())
    said["pre_tokenizer"] = {"type": "Metaspace", "replacement": "a", "prepend_scheme": "first"}
    file.write_text(json.dumps(said))

    with pytest.raises(ValueError, match=r"after the image token as .* and alone, .* other tokens"):
        plan_conversion(file.parent, tower)
