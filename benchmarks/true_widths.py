"""A world of the paper's true widths, or narrower, with random weights.

It is made like LLaVA-MORE 8B, its base and Llama Scope:

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

K = 50
PATCH = 14
COCO_SIZE = (640, 480)


class Widths(NamedTuple):
    """The paper's model at a part of its width: 4096 is all of it; heads stay 128 wide."""

    d_model: int = 4096

    @property
    def d_sae(self) -> int:
        """Features of a dictionary."""
        return 8 * self.d_model

    @property
    def n_heads(self) -> int:
        """Of a layer; four share a key and value."""
        return self.d_model // 128

    @property
    def mlp(self) -> int:
        """Hidden units of a layer's MLP."""
        return 7 * self.d_model // 2

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding."""
        return 1 + 128_256 * self.d_model // 4096

    @property
    def d_vision(self) -> int:
        """Width of the vision tower, whose heads are 64 wide."""
        return self.d_model // 4


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
    widths: Widths = Widths()


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
        base_model=_base(folder) if scale.widths == Widths() else None,
        data=DataConfig(vqa_folder=folder / "vqa", vsr_folder=folder / "vsr"),
        **sections,
    )


def _base(folder: Path) -> BaseModelConfig:
    """Random dictionaries pass the gate check at the paper's width; narrower ones overshoot."""
    return BaseModelConfig(
        path=str(folder / "base"),
        text=folder / "text.jsonl",
        n_gate_tokens=1024,
        max_fvu=1.0,
        max_dead=1.0,
        **dict.fromkeys(BOUNDS, NO_BOUND),
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
        _write_dictionary(folder / "scope" / f"L{layer}", layer, norm, scale)


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
    numbers, widths = vocabulary(), scale.widths
    return LlamaConfig(
        vocab_size=widths.vocabulary,
        hidden_size=widths.d_model,
        intermediate_size=widths.mlp,
        num_hidden_layers=scale.n_layers,
        num_attention_heads=widths.n_heads,
        num_key_value_heads=max(widths.n_heads // 4, 1),
        max_position_embeddings=4096,
        bos_token_id=numbers["<bos>"],
        eos_token_id=numbers["<eos>"],
        pad_token_id=numbers["<pad>"],
    )


def _vlm_config(text: LlamaConfig, scale: Scale) -> LlavaConfig:
    widths = scale.widths
    vision = CLIPVisionConfig(
        hidden_size=widths.d_vision,
        intermediate_size=4 * widths.d_vision,
        num_hidden_layers=24,
        num_attention_heads=widths.d_vision // 64,
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
    lines = texts.read_text(encoding="utf-8").splitlines()[:8]
    said = [json.loads(line)["text"] for line in lines]
    norms = []
    for text in said:
        ids = tokenizer(text, return_tensors="pt").input_ids.to(base.device)
        hidden = base.model(ids, output_hidden_states=True).hidden_states[1:]
        norms.append(torch.stack([h[0, 1:].float().norm(dim=-1).mean() for h in hidden]))
    return torch.stack(norms).mean(0).tolist()


def _write_dictionary(folder: Path, layer: int, norm: float, scale: Scale) -> None:
    """Random unit rows and a tied encoder."""
    device, d_model, d_sae = scale.device, scale.widths.d_model, scale.widths.d_sae
    (folder / "checkpoints").mkdir(parents=True)
    random = torch.Generator(device).manual_seed(layer)
    rows = torch.randn(d_sae, d_model, generator=random, device=device)
    rows = (rows / rows.norm(dim=1, keepdim=True)).to(torch.bfloat16).cpu()
    weights = {
        "encoder.weight": rows,
        "encoder.bias": torch.zeros(d_sae, dtype=torch.bfloat16),
        "decoder.weight": rows.T.contiguous(),
        "decoder.bias": torch.zeros(d_model, dtype=torch.bfloat16),
    }
    save_file(weights, folder / "checkpoints" / "final.safetensors")
    settings = release_settings(layer, d_sae, d_model, k=K, norm=round(norm, 6))
    (folder / "hyperparams.json").write_text(json.dumps(settings), encoding="utf-8")
