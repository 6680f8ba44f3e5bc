"""A model is loaded whole or not at all: what is lacking, left over or quantised is named."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from feature_atlas.etl.config.inputs import BaseModelConfig, InstructConfig, VlmConfig
from feature_atlas.etl.inputs.checkpoints import load_base_model, load_instruct_model, load_vlm
from feature_atlas.etl.inputs.skeletons import image_text_skeleton, language_skeleton
from feature_atlas.toy.weights import language_model_path, vlm_path

PROJECTOR = "multi_modal_projector.linear_1.weight"
Q_PROJ = "layers.2.self_attn.q_proj.weight"
FIRST = "model.safetensors"


@pytest.fixture
def vlm(tmp_path):
    return shutil.copytree(vlm_path(), tmp_path / "vlm")


@pytest.fixture
def language(tmp_path):
    return shutil.copytree(language_model_path(), tmp_path / "language")


def rewrite(folder: Path, change) -> None:
    weights = load_file(folder / FIRST)
    save_file({name: w.contiguous() for name, w in change(weights).items()}, folder / FIRST)


def without(end):
    return lambda weights: {n: w for n, w in weights.items() if not n.endswith(end)}


def renamed(old, new):
    return lambda weights: {n.replace(old, new): w for n, w in weights.items()}


def added(**extra):
    return lambda weights: weights | {n.replace("__", "."): w for n, w in extra.items()}


def of_kind(dtype):
    return lambda weights: {n: w.to(dtype) for n, w in weights.items()}


def reshaped(end):
    return lambda weights: {n: w[:1] if n.endswith(end) else w for n, w in weights.items()}


BROKEN_WEIGHTS = [
    (without(PROJECTOR), rf"missing are model\.{PROJECTOR}\. Lacking weights would be random"),
    (without(Q_PROJ), rf"missing are model\.language_model\.{Q_PROJ}"),
    (without("norm1.weight"), r"missing are .*vision_tower.*"),
    (renamed("vision_tower", "tower"), "missing are .*vision_tower.*not known .*tower"),
    (renamed("multi_modal_projector", "mm_projector"), "feature-atlas convert llava"),
    (
        renamed("q_proj.weight", "q_proj.base_layer.weight"),
        "not known .*base_layer",
    ),
    (added(score__weight=torch.ones(2)), "not known to the model are .*score.weight"),
    (added(model__q_proj__lora_A__weight=torch.ones(2)), "An adapter was not merged"),
    (reshaped(Q_PROJ), rf"of another shape are .*{Q_PROJ} \(\[1, 128\], expected \[128, 128\]\)"),
    (of_kind(torch.int8), "in int8, .*quantised"),
    (of_kind(torch.float8_e4m3fn), "in float8_e4m3fn, .*quantised"),
]


@pytest.mark.parametrize(("change", "said"), BROKEN_WEIGHTS)
def test_weights_that_are_not_the_models_are_named_from_the_headers_alone(change, said, vlm):
    rewrite(vlm, change)

    with pytest.raises(ValueError, match=said):
        image_text_skeleton(vlm)
    with pytest.raises(ValueError, match=said):
        load_vlm(VlmConfig(path=str(vlm), base="b", name="n"), "cpu")


def settle(folder: Path, **settings) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


def in_bin(folder: Path, name="pytorch_model.bin") -> None:
    torch.save(load_file(folder / FIRST), folder / name)


def only(folder: Path, name: str) -> None:
    in_bin(folder, name)
    (folder / FIRST).unlink()


def sharded(folder: Path) -> None:
    weights = load_file(folder / FIRST)
    where = {n: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, n in enumerate(weights)}
    for file in set(where.values()):
        save_file({n: w for n, w in weights.items() if where[n] == file}, folder / file)
    (folder / f"{FIRST}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    (folder / FIRST).unlink()


def sharded_without_one(folder: Path) -> None:
    sharded(folder)
    (folder / "model-00001-of-00002.safetensors").unlink()


def sharded_with_another(folder: Path) -> None:
    sharded(folder)
    save_file({"x": torch.ones(1)}, folder / "model-00003-of-00003.safetensors")


def cut(folder: Path) -> None:
    file = folder / FIRST
    file.write_bytes(file.read_bytes()[:5000])


BROKEN_FOLDERS = [
    (in_bin, r"several formats, model\.safetensors and pytorch_model\.bin"),
    (
        lambda f: only(f, "consolidated.00.pth"),
        r"no weights: there are consolidated\.00\.pth",
    ),
    (lambda f: (f / FIRST).unlink(), "holds no weights: expected model.safetensors or"),
    (sharded_without_one, "names model-00001-of-00002.safetensors, and 1 of its 2 files are not"),
    (sharded_with_another, "model-00003-of-00003.safetensors, which .* does not name"),
    (cut, r"model\.safetensors cannot be read as weights"),
    (lambda f: (f / FIRST).write_bytes(b""), "cannot be read as weights"),
    (lambda f: (f / "adapter_config.json").write_text("{}"), "an adapter that was not merged"),
    (lambda f: (f / "adapter_model.safetensors").touch(), "an adapter that was not merged"),
    (lambda f: (f / "config.json").unlink(), r"no .*config\.json: expected a folder"),
    (
        lambda f: settle(f, quantization_config={"quant_method": "bitsandbytes"}),
        r"quantised \(bitsandbytes\)",
    ),
    (
        lambda f: settle(f, text_config={"quantization_config": {"quant_method": "awq"}}),
        r"quantised \(awq\)",
    ),
    (lambda f: settle(f, model_type="llava_llama"), "original LLaVA layout .*convert llava"),
    (lambda f: settle(f, model_type="llama"), r"expected in vlm\.path: an image-text model"),
    (lambda f: settle(f, model_type="next_year"), "not one that this transformers reads"),
]


@pytest.mark.parametrize(("breaks", "said"), BROKEN_FOLDERS)
def test_a_folder_that_is_no_whole_checkpoint_says_why(breaks, said, vlm):
    breaks(vlm)

    with pytest.raises((ValueError, FileNotFoundError), match=said):
        image_text_skeleton(vlm)
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        load_vlm(VlmConfig(path=str(vlm), base="b", name="n"), "cpu")


@pytest.mark.parametrize(
    ("load", "config"),
    [
        (load_base_model, lambda f: BaseModelConfig(path=str(f), text=f / "text.txt")),
        (load_instruct_model, lambda f: InstructConfig(path=str(f))),
    ],
)
def test_language_models_are_held_to_the_same(load, config, language):
    rewrite(language, without(Q_PROJ))
    vlm = image_text_skeleton(vlm_path()).model

    with pytest.raises(ValueError, match=rf"missing are model\.{Q_PROJ}"):
        load(config(language), vlm, "float32", "cpu")


def same_weights(folder: Path, auto) -> bool:
    found = auto.from_pretrained(folder).state_dict()
    original = language_model_path() if auto is AutoModelForCausalLM else vlm_path()
    expected = auto.from_pretrained(original).state_dict()
    return all(torch.equal(found[name], expected[name]) for name in expected)


def test_shards_and_bin_files_and_older_names_are_whole(vlm, language):
    sharded(vlm)
    only(language, "pytorch_model.bin")

    assert image_text_skeleton(vlm).stored == {"float32": len(load_all(vlm))}
    language_skeleton(language)
    assert same_weights(vlm, AutoModelForImageTextToText)
    assert same_weights(language, AutoModelForCausalLM)


def load_all(folder: Path) -> dict[str, torch.Tensor]:
    return {n: w for file in folder.glob("*.safetensors") for n, w in load_file(file).items()}


def test_names_that_transformers_translates_pass(vlm):
    rewrite(vlm, renamed("model.language_model.", "language_model.model."))

    image_text_skeleton(vlm)
    assert same_weights(vlm, AutoModelForImageTextToText)


def test_tied_weights_and_tables_that_are_computed_may_be_absent_or_there(language):
    assert "lm_head.weight" not in load_all(language)
    rewrite(language, added(model__layers__0__self_attn__rotary_emb__inv_freq=torch.ones(16)))

    language_skeleton(language)


def test_a_head_that_is_tied_to_nothing_may_not_be_absent(language):
    settle(language, tie_word_embeddings=False)

    with pytest.raises(ValueError, match=r"missing are lm_head\.weight"):
        language_skeleton(language)


def test_what_the_weights_are_stored_in_is_known(language):
    rewrite(language, of_kind(torch.float16))

    assert set(language_skeleton(language).stored) == {"float16"}
