"""A converted checkpoint computes what the original computed, from its own files and prompts."""

import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from original_llava import (
    SIDE,
    WORDS,
    original_ids,
    original_logits,
    original_pixels,
    original_weights,
    write_original,
    write_tower,
)
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from feature_atlas.etl.config.inputs import VlmConfig
from feature_atlas.etl.inputs.checkpoints import load_vlm
from feature_atlas.etl.inputs.llava_original import target_weights
from feature_atlas.etl.inputs.llava_original.conversation import SEES, VICUNA
from feature_atlas.etl.inputs.llava_original.conversion import plan_conversion, write_conversion
from feature_atlas.etl.inputs.processors import read_processor
from feature_atlas.vlm.residual_stream import decoder_layers
from feature_atlas.vlm.token_roles import Role, encode_prompts, render_prompt

QUESTION = "Is the cat left of the dog?"
PROMPTS = {
    "llama_3_1": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge "
    f"Date: December 2023\nToday Date: 26 Jul 2024\n\n{SEES}<|eot_id|><|start_header_id|>user"
    f"<|end_header_id|>\n\n<image>\n{QUESTION}<|eot_id|><|start_header_id|>assistant"
    "<|end_header_id|>\n\n",
    "r1": f"<｜begin▁of▁sentence｜>{SEES}<｜User｜><image>\n{QUESTION}<｜Assistant｜>",
    "vicuna": f"{VICUNA} USER: <image>\n{QUESTION} ASSISTANT:",
    "gemma_2": f"<bos><start_of_turn>user\n<image>\n{QUESTION}<end_of_turn>\n"
    "<start_of_turn>model\n",
    "phi_4": "<|system|>You are a helpful AI assistant.<|end|><|user|><image>\n"
    f"{QUESTION}<|end|><|assistant|>",
}
"""Each family's prompt as LLaVA-MORE's conversation.py writes it."""


def convert(source: Path, target: Path, tower: Path | None = None) -> Path:
    target.mkdir()
    conversion = plan_conversion(source, None if tower is None else str(tower))
    write_conversion(conversion, target, lambda *_: None)
    return target


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a converted checkpoint."""
    return {n: t for f in folder.glob("model*.safetensors") for n, t in load_file(f).items()}


def bits(tensors: dict[str, torch.Tensor]) -> list[tuple[torch.Size, bytes]]:
    """What is stored, whatever its name."""
    return sorted((t.shape, t.view(torch.int16).numpy().tobytes()) for t in tensors.values())


def picture() -> Image.Image:
    colours = np.random.default_rng(0).integers(0, 256, (90, 140, 3), dtype=np.uint8)
    return Image.fromarray(colours)


@pytest.mark.parametrize(
    ("family", "kind"),
    [*((family, "clip") for family in PROMPTS), ("llama_3_1", "siglip"), ("gemma_2", "siglip")],
)
def test_the_converted_model_has_the_originals_logits(tmp_path: Path, family: str, kind: str):
    tower = write_tower(tmp_path / "tower", kind)
    source = write_original(tmp_path / "original", family, kind)
    target = convert(source, tmp_path / "converted", tower)

    model = AutoModelForImageTextToText.from_pretrained(target, dtype="float32").eval()
    processor = AutoProcessor.from_pretrained(target, backend="pil")
    text = render_prompt(processor, QUESTION, has_image=True)
    inputs = processor(
        text=[text], images=[picture()], return_tensors="pt", add_special_tokens=False
    )
    with torch.no_grad():
        logits = model(**inputs).logits[0]

    ids, n_image = original_ids(source, PROMPTS[family]), (SIDE // 14) ** 2
    image_id = processor.image_token_id
    assert inputs.input_ids[0].tolist() == [
        i for one in ids for i in ([image_id] * n_image if one == -200 else [one])
    ]
    pixels = original_pixels(picture(), kind)
    torch.testing.assert_close(inputs.pixel_values, pixels, atol=1e-5, rtol=0)
    expected = original_logits(source, family, kind, ids, inputs.pixel_values, None)
    if family == "gemma_2":
        logits = 30 * torch.tanh(logits / 30)  # transformers' Llava leaves the last soft cap out
    torch.testing.assert_close(logits, expected, atol=2e-5, rtol=1e-4)
    assert expected.std() > 0.1


def test_several_files_are_one_model_and_a_tower_may_lie_apart(tmp_path: Path):
    tower = write_tower(tmp_path / "tower", "clip")
    one = convert(write_original(tmp_path / "one"), tmp_path / "one-converted", tower)
    source = write_original(tmp_path / "three", n_files=3, tower_inside=False)

    several = convert(source, tmp_path / "three-converted", tower)

    assert weights(several).keys() == weights(one).keys()
    assert all(torch.equal(t, weights(one)[name]) for name, t in weights(several).items())


def test_files_of_pytorch_are_read_as_well(tmp_path: Path):
    tower = write_tower(tmp_path / "tower", "clip")
    source = write_original(tmp_path / "original")
    torch.save(original_weights(source), source / "pytorch_model.bin")
    (source / "model.safetensors").unlink()

    found = weights(convert(source, tmp_path / "converted", tower))

    expected = torch.load(source / "pytorch_model.bin")["model.mm_projector.2.weight"]
    assert torch.equal(found["multi_modal_projector.linear_2.weight"], expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_keep_their_type_and_every_bit(tmp_path: Path, dtype: torch.dtype):
    tower = write_tower(tmp_path / "tower", "clip")
    source = write_original(tmp_path / "original", dtype=dtype)

    found = weights(convert(source, tmp_path / "converted", tower))

    assert {t.dtype for t in found.values()} == {dtype}
    assert bits(found) == bits(original_weights(source))


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_the_atlas_loads_it_whole(tmp_path: Path, kind: str):
    tower = write_tower(tmp_path / "tower", kind)
    source = write_original(tmp_path / "original", tower=kind)
    target = convert(source, tmp_path / "converted", tower)

    vlm = load_vlm(VlmConfig(path=str(target), name="tiny", base="tiny", dtype="float32"), "cpu")

    expected = original_weights(source)["model.layers.1.mlp.up_proj.weight"]
    assert torch.equal(decoder_layers(vlm.model)[1].mlp.up_proj.weight, expected)


def test_one_file_after_the_other_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tower = write_tower(tmp_path / "tower", "clip")
    plan = plan_conversion(write_original(tmp_path / "original", n_files=2), str(tower))
    sizes, seen = [], []

    def remember(tensors: dict[str, torch.Tensor], file: Path, metadata: dict[str, str]) -> None:
        assert not any(ref() is not None for ref in seen), "an earlier file's tensors are alive"
        seen[:] = [weakref.ref(t) for t in tensors.values()]
        sizes.append(sum(t.nbytes for t in tensors.values()))
        save_file(tensors, file, metadata=metadata)

    monkeypatch.setattr(target_weights, "save_file", remember)
    target_weights.write_weights(plan.tensors, {}, tmp_path, lambda *_: None, shard_bytes=200_000)

    assert len(sizes) > 3
    assert max(sizes) <= 200_000
    assert sum(sizes) == sum(one.n_bytes for one in plan.tensors.values())
    assert weights(tmp_path).keys() == plan.tensors.keys()


def test_the_picture_is_padded_with_the_mean_colour_by_the_class_that_loads(tmp_path: Path):
    tower = write_tower(tmp_path / "tower", "clip")
    padding = convert(write_original(tmp_path / "a"), tmp_path / "padding", tower)
    square = {"image_aspect_ratio": "square"}
    cropping = convert(write_original(tmp_path / "b", **square), tmp_path / "cropping", tower)
    white = Image.new("RGB", (2 * SIDE, SIDE), "white")

    seen, cropped = (
        AutoProcessor.from_pretrained(folder, backend="pil").image_processor(
            white, return_tensors="np"
        )["pixel_values"][0]
        for folder in (padding, cropping)
    )

    assert np.abs(seen[:, : SIDE // 4 - 2]).max() < 0.02  # the mean is 0 once normalised
    assert seen[:, SIDE // 2].min() > 1.5
    assert cropped.min() > 1.5


def test_padding_and_picture_have_tokens_of_their_own(tmp_path: Path):
    tower = write_tower(tmp_path / "tower", "clip")
    told = {}
    for family in PROMPTS:
        source = write_original(tmp_path / family, family)
        plan = plan_conversion(source, str(tower))
        tokenizer = plan.processor.tokenizer
        told[family] = tokenizer.pad_token, plan.processor.image_token
        assert tokenizer.pad_token_id not in (tokenizer.bos_token_id, tokenizer.eos_token_id)
        assert plan.config.image_token_index < plan.config.text_config.vocab_size

    assert told == {
        "llama_3_1": ("<|finetune_right_pad_id|>", "<|reserved_special_token_247|>"),
        "r1": ("<|finetune_right_pad_id|>", "<|reserved_special_token_0|>"),
        "vicuna": ("<|pad|>", "<image>"),
        "gemma_2": ("<pad>", "<unused1>"),
        "phi_4": ("<|pad|>", "<image>"),
    }


def test_the_prompts_of_the_atlas_are_taken(tmp_path: Path):
    tower = write_tower(tmp_path / "tower", "clip")
    target = convert(write_original(tmp_path / "original"), tmp_path / "converted", tower)
    processor = AutoProcessor.from_pretrained(target, backend="pil")

    batch = encode_prompts(
        processor, [QUESTION, "Why?"], [picture(), picture()], suffix="In short."
    )

    assert (batch.roles == Role.IMAGE).sum(1).tolist() == [16, 16]
    assert (batch.roles == Role.PAD).sum(1).tolist() == [0, len(QUESTION) - len("Why?")]
    assert (batch.input_ids == processor.tokenizer.bos_token_id).sum(1).tolist() == [1, 1]


def test_cls_stays_where_the_original_keeps_it(tmp_path: Path):
    tower = write_tower(tmp_path / "tower", "clip")
    source = write_original(tmp_path / "original", mm_vision_select_feature="cls_patch")
    target = convert(source, tmp_path / "converted", tower)
    processor = AutoProcessor.from_pretrained(target, backend="pil")
    model = AutoModelForImageTextToText.from_pretrained(target)

    inputs = processor(text=[processor.image_token], images=[picture()], return_tensors="pt")

    assert (inputs.input_ids == processor.image_token_id).sum() == 17
    assert model(**inputs).logits.shape[1] == inputs.input_ids.shape[1]


def test_a_conversation_goes_on_as_it_was_tuned(tmp_path: Path):
    tower = str(write_tower(tmp_path / "tower", "clip"))
    processor = plan_conversion(write_original(tmp_path / "original", "vicuna"), tower).processor
    turns = [("user", "Hi "), ("assistant", "Hello."), ("user", "Bye")]

    text = processor.apply_chat_template([{"role": r, "content": c} for r, c in turns])

    assert text == f"<s>{VICUNA} USER: Hi ASSISTANT: Hello.</s>USER: Bye "


def test_a_tokenizer_without_a_token_for_yes_is_refused_when_the_model_is_read(
    tmp_path: Path, monkeypatch
):
    monkeypatch.delitem(WORDS, "yes")
    tower = write_tower(tmp_path / "tower", "clip")
    target = convert(write_original(tmp_path / "original"), tmp_path / "new", tower)

    with pytest.raises(ValueError, match=r"answers 'yes' -> \[\] and 'no' -> \[\d+\]: expected"):
        read_processor(target)
