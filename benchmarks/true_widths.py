"""A world of the paper's true widths with random weights: LLaVA-MORE 8B, its base, Llama Scope.

    folder/vlm            CLIP-L/14-336, projector, Llama 3.1 8B's text model of a few layers
    folder/base           the same text model from before it saw pictures
    folder/scope/L<l>     Llama Scope's raw files: 4096 x 32,768, bfloat16
    folder/vqa, vsr       the tiny world's questions, on pictures of COCO's size
    folder/text.jsonl     plain text

What is smaller than in the paper is the number of layers, of questions and, where asked for, of
image tokens. Words are the tiny world's; the embedding has all of Llama's rows.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from feature_atlas.etl.config.inputs import BaseModelConfig, DataConfig, SaeConfig, VlmConfig
from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.rehearsal.small_config import BOUNDS, NO_BOUND
from feature_atlas.toy.tokenizer import CHAT_TEMPLATE, build_tokenizer, vocabulary
from feature_atlas.toy.world import write_world

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))  # what tests share
from llama_scope_of import release_settings

D_MODEL, D_SAE, K = 4096, 32_768, 50
N_HEADS, N_KEY_VALUE_HEADS, MLP_WIDTH, VOCABULARY = 32, 8, 14_336, 128_257
PATCH = 14
COCO_SIZE = (640, 480)


class Scale(NamedTuple):
    """How much of the paper there is."""

    n_layers: int
    """Of the language model; a dictionary for each."""
    n_train_pictures: int
    """With six questions each; validation has as many."""
    n_vsr_pictures: int
    """With three statements each."""
    image_pixels: int
    """336 gives the paper's 576 image tokens."""
    device: str


def write_paper(folder: Path, scale: Scale) -> None:
    """All files; the same scale writes the same bytes on one kind of device."""
    write_world(
        folder,
        seed=0,
        n_train_images=scale.n_train_pictures,
        n_val_images=scale.n_train_pictures,
        n_vsr_images=scale.n_vsr_pictures,
        n_text_scenes=60,
    )
    for picture in folder.rglob("*.jpg"):
        Image.open(picture).resize(COCO_SIZE).save(picture, quality=90)
    _write_models(folder, scale)


def paper_config(folder: Path, scale: Scale, batch_size: int, **sections: object) -> RunConfig:
    """The paper's settings over these files, but for the given sections."""
    return RunConfig(
        name="paper-scale",
        device=scale.device,
        batch_size=batch_size,
        vlm=VlmConfig(
            path=str(folder / "vlm"), name="random", base="random Llama", dtype="bfloat16"
        ),
        sae=SaeConfig(
            source="llama_scope_folder",
            path=str(folder / "scope" / "L{layer}"),
            release="random scope",
            layers=tuple(range(scale.n_layers)),
        ),
        base_model=BaseModelConfig(
            path=str(folder / "base"),
            text=folder / "text.jsonl",
            n_gate_tokens=1024,
            max_fvu=1.0,
            max_dead=1.0,
            **dict.fromkeys(BOUNDS, NO_BOUND),
        ),
        data=DataConfig(vqa_folder=folder / "vqa", vsr_folder=folder / "vsr"),
        **sections,
    )


def _write_models(folder: Path, scale: Scale) -> None:
    text, device = _language_config(scale), scale.device
    with _on(device, seed=0):
        vlm = LlavaForConditionalGeneration(_vlm_config(text, scale))
    vlm.save_pretrained(folder / "vlm")
    _processor(scale).save_pretrained(folder / "vlm")
    del vlm
    with _on(device, seed=1):
        base = LlamaForCausalLM(text)
    base.save_pretrained(folder / "base")
    build_tokenizer().save_pretrained(folder / "base")
    for layer, norm in enumerate(_mean_norms(base, folder / "text.jsonl")):
        _write_dictionary(folder / "scope" / f"L{layer}", layer, norm, device)


@contextmanager
def _on(device: str, seed: int) -> Iterator[None]:
    """Models made here are random, in bfloat16 and on the device."""
    torch.manual_seed(seed)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(torch.float32)


def _language_config(scale: Scale) -> LlamaConfig:
    numbers = vocabulary()
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=D_MODEL,
        intermediate_size=MLP_WIDTH,
        num_hidden_layers=scale.n_layers,
        num_attention_heads=N_HEADS,
        num_key_value_heads=N_KEY_VALUE_HEADS,
        max_position_embeddings=4096,
        bos_token_id=numbers["<bos>"],
        eos_token_id=numbers["<eos>"],
        pad_token_id=numbers["<pad>"],
    )


def _vlm_config(text: LlamaConfig, scale: Scale) -> LlavaConfig:
    vision = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=scale.image_pixels,
        patch_size=PATCH,
    )
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=vocabulary()["<image>"],
        image_seq_length=(scale.image_pixels // PATCH) ** 2,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )


def _processor(scale: Scale) -> LlavaProcessor:
    side = {"height": scale.image_pixels, "width": scale.image_pixels}
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": scale.image_pixels}, crop_size=side
        ),
        tokenizer=build_tokenizer(),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


@torch.no_grad()
def _mean_norms(base: LlamaForCausalLM, texts: Path) -> list[float]:
    """Of each layer's residuals on some text, BOS left out: what a release states."""
    tokenizer = build_tokenizer()
    said = [json.loads(line)["text"] for line in texts.read_text().splitlines()[:8]]
    norms = []
    for text in said:
        ids = tokenizer(text, return_tensors="pt").input_ids.to(base.device)
        hidden = base.model(ids, output_hidden_states=True).hidden_states[1:]
        norms.append(torch.stack([h[0, 1:].float().norm(dim=-1).mean() for h in hidden]))
    return torch.stack(norms).mean(0).tolist()


def _write_dictionary(folder: Path, layer: int, norm: float, device: str) -> None:
    """Random unit rows and a tied encoder."""
    (folder / "checkpoints").mkdir(parents=True)
    random = torch.Generator(device).manual_seed(layer)
    rows = torch.randn(D_SAE, D_MODEL, generator=random, device=device)
    rows = (rows / rows.norm(dim=1, keepdim=True)).to(torch.bfloat16).cpu()
    weights = {
        "encoder.weight": rows,
        "encoder.bias": torch.zeros(D_SAE, dtype=torch.bfloat16),
        "decoder.weight": rows.T.contiguous(),
        "decoder.bias": torch.zeros(D_MODEL, dtype=torch.bfloat16),
    }
    save_file(weights, folder / "checkpoints" / "final.safetensors")
    settings = release_settings(layer, D_SAE, D_MODEL, k=K, norm=round(norm, 6))
    (folder / "hyperparams.json").write_text(json.dumps(settings))
