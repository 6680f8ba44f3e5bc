"""Tiny random checkpoints in the original layout of LLaVA, and the computation that it trained.

The forward pass is written out of the files' own tensors: tower, two layers, words, language model.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
    SiglipVisionModel,
)

SIDE, PATCH = 56, 14
WORDS = {"no": [("n", "o")], "yes": [("y", "e"), ("ye", "s")]}
"""Answers, which every tokenizer has as one token, and the merges that make them of bytes."""
TOWER, PROJECTOR = "model.vision_tower.vision_tower.vision_model.", "model.mm_projector."

LLAMA_3_1 = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    *(f"<|reserved_special_token_{i}|>" for i in (0, 1)),
    "<|finetune_right_pad_id|>",
    "<|reserved_special_token_2|>",
    *("<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>"),
    *(f"<|reserved_special_token_{i}|>" for i in range(3, 248)),
]
GEMMA_2 = ["<pad>", "<eos>", "<bos>", "<unused0>", "<unused1>", "<start_of_turn>", "<end_of_turn>"]
PHI_4 = ["<|endoftext|>", "<|assistant|>", "<|end|>", "<|user|>", "<|system|>"]
R1 = [
    *("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<|finetune_right_pad_id|>"),
    *("<｜User｜>", "<｜Assistant｜>", "<|reserved_special_token_0|>"),
]
VICUNA = ["<unk>", "<s>", "</s>"]


class Family(NamedTuple):
    """A language model that LLaVA was tuned from."""

    model_type: str
    """Of the original's config.json."""
    specials: list[str]
    """Its special tokens, after bytes and words."""
    bos: str
    """Its first token."""
    eos: str
    """Its last token."""
    model: type[PreTrainedModel]
    """transformers' class."""
    config: type[PreTrainedConfig]
    """Its configuration."""
    extra: dict[str, Any]
    """Settings of the original's config.json that the others have not."""
    adds_bos: bool = True
    """Whether its tokenizer begins with BOS."""
    n_rows: int = 0
    """Rows of the embedding beyond the tokens."""


ROPE = {"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0}
ROPE |= {"original_max_position_embeddings": 8192, "rope_type": "llama3"}
LLAMA_SETTINGS = {"rope_scaling": ROPE, "rope_theta": 500000.0, "tie_word_embeddings": False}
LLAMA_SETTINGS |= {"hidden_act": "silu", "pretraining_tp": 1, "mlp_bias": False}
LLAMA_SETTINGS |= {"max_position_embeddings": 131072}
FAMILIES = {
    "llama_3_1": Family(
        *("llava_llama", LLAMA_3_1, "<|begin_of_text|>", "<|eot_id|>"),
        *(LlamaForCausalLM, LlamaConfig, LLAMA_SETTINGS),
    ),
    "r1": Family(
        *("llava_llama", R1, "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
        *(LlamaForCausalLM, LlamaConfig, LLAMA_SETTINGS),
    ),
    "vicuna": Family(
        *("llava_llama", VICUNA, "<s>", "</s>"),
        *(LlamaForCausalLM, LlamaConfig, {"tie_word_embeddings": False}),
        n_rows=5,
    ),
    "gemma_2": Family(
        *("llava_gemma", GEMMA_2, "<bos>", "<eos>"),
        *(Gemma2ForCausalLM, Gemma2Config),
        {
            "head_dim": 16,
            "query_pre_attn_scalar": 16,
            "sliding_window": 8,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 30.0,
            "hidden_activation": "gelu_pytorch_tanh",
            "cache_implementation": "hybrid",
        },
    ),
    "phi_4": Family(
        *("llava_phi", PHI_4, "<|endoftext|>", "<|endoftext|>"),
        *(Phi3ForCausalLM, Phi3Config),
        {
            "partial_rotary_factor": 0.5,
            "original_max_position_embeddings": 4096,
            "max_position_embeddings": 131072,
            "rope_theta": 10000.0,
            "rope_scaling": {
                "type": "longrope",
                "short_factor": [1.0, 1.5, 2.0, 2.5],
                "long_factor": [2.0, 2.5, 3.0, 3.5],
            },
            "tie_word_embeddings": True,
            "full_attn_mod": 1,
            "interpolate_factor": 1,
            "lm_head_bias": False,
            "auto_map": {"AutoConfig": "configuration_phi3.Phi3Config"},
        },
        adds_bos=False,
        n_rows=10,
    ),
}
TOWERS = {
    "clip": (CLIPVisionModel, CLIPVisionConfig, "openai/clip-vit-large-patch14-336"),
    "siglip": (SiglipVisionModel, SiglipVisionConfig, "google/siglip-so400m-patch14-384"),
}
MEAN = {"clip": (0.48145466, 0.4578275, 0.40821073), "siglip": (0.5, 0.5, 0.5)}
STD = {"clip": (0.26862954, 0.26130258, 0.27577711), "siglip": (0.5, 0.5, 0.5)}


def tokenizer_of(family: Family) -> PreTrainedTokenizerFast:
    """Bytes, the words of answers and the family's special tokens."""
    merges = [merge for steps in WORDS.values() for merge in steps]
    known = sorted(pre_tokenizers.ByteLevel.alphabet()) + ["".join(merge) for merge in merges]
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(known)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t in family.specials]
    )
    if family.adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{family.bos} $A",
            special_tokens=[(family.bos, tokenizer.token_to_id(family.bos))],
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=family.bos, eos_token=family.eos
    )


def settings_of(family: Family, tower: str) -> dict[str, Any]:
    """The original's config.json."""
    tokenizer = tokenizer_of(family)
    return {
        "architectures": ["LlavaForCausalLM"],
        "model_type": family.model_type,
        "attention_bias": False,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": None,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5,
        "initializer_range": 0.1,
        "vocab_size": len(tokenizer) + family.n_rows,
        "torch_dtype": "float32",
        "transformers_version": "4.43.1",
        "freeze_mm_mlp_adapter": False,
        "image_aspect_ratio": "pad",
        "mm_hidden_size": 32,
        "mm_patch_merge_type": "flat",
        "mm_projector_lr": None,
        "mm_projector_type": "mlp2x_gelu",
        "mm_use_im_patch_token": False,
        "mm_use_im_start_end": False,
        "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": -2,
        "mm_vision_tower": TOWERS[tower][2],
        "tokenizer_model_max_length": 4096,
        "tokenizer_padding_side": "right",
        "use_mm_proj": True,
        **family.extra,
    }


def text_model(settings: dict[str, Any], family: Family) -> PreTrainedModel:
    """The family's own class, told its sizes."""
    ours = {k: v for k, v in settings.items() if not k.startswith(("mm_", "model_type"))}
    return family.model(family.config.from_dict(ours)).eval()


def vision_model(kind: str) -> PreTrainedModel:
    """A tower of three layers."""
    model, config, _ = TOWERS[kind]
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
    sizes |= {"num_attention_heads": 4, "image_size": SIDE, "patch_size": PATCH}
    return model(config(**sizes)).eval()


def write_tower(folder: Path, kind: str) -> Path:
    """A tower that lies apart, with what says how it is built and wants its pictures."""
    torch.manual_seed(1)
    model = vision_model(kind)
    model.config.save_pretrained(folder)
    weights = {f"vision_model.{name}": t for name, t in model.state_dict().items()}
    weights |= {"logit_scale": torch.ones(()), "text_model.final_layer_norm.bias": torch.ones(3)}
    save_file(weights, folder / "model.safetensors")
    size = {"height": SIDE, "width": SIDE}
    pictures: dict[str, Any] = {"image_processor_type": "SiglipImageProcessor", "size": size}
    if kind == "clip":
        pictures = {"feature_extractor_type": "CLIPFeatureExtractor", "size": SIDE}
        pictures |= {"crop_size": SIDE, "do_center_crop": True}
    pictures |= {"image_mean": MEAN[kind], "image_std": STD[kind], "resample": 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures))
    return folder


def write_original(
    folder: Path,
    family: str = "llama_3_1",
    tower: str = "clip",
    *,
    n_files: int = 1,
    tower_inside: bool = True,
    dtype: torch.dtype = torch.float32,
    **settings: Any,
) -> Path:
    """A checkpoint as it is released: names, config.json, shards, tokenizer."""
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = FAMILIES[family]
    said = settings_of(chosen, tower) | settings
    text = text_model(said, chosen)
    weights = dict(text.state_dict())
    if text.config.tie_word_embeddings:
        del weights["lm_head.weight"]
    for part, shape in (("0", (64, 32)), ("2", (64, 64))):
        weights[f"{PROJECTOR}{part}.weight"] = 0.3 * torch.randn(shape)
        weights[f"{PROJECTOR}{part}.bias"] = 0.3 * torch.randn(64)
    if tower_inside:
        torch.manual_seed(1)
        weights |= {f"{TOWER}{n}": t for n, t in vision_model(tower).state_dict().items()}
    write_shards(folder, {n: t.to(dtype).contiguous() for n, t in weights.items()}, n_files)
    (folder / "config.json").write_text(json.dumps(said))
    tokenizer_of(chosen).save_pretrained(folder)
    return folder


def write_shards(folder: Path, weights: dict[str, Tensor], n_files: int) -> None:
    """One file, or several with their index."""
    if n_files == 1:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return
    index = {}
    for i in range(n_files):
        file = f"model-{i + 1:05d}-of-{n_files:05d}.safetensors"
        part = dict(list(weights.items())[i::n_files])
        save_file(part, folder / file, metadata={"format": "pt"})
        index |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": index})
    )


def original_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint by their original names."""
    return {
        n: t for f in sorted(folder.glob("model*.safetensors")) for n, t in load_file(f).items()
    }


def original_ids(folder: Path, prompt: str, image_id: int = -200) -> list[int]:
    """As LLaVA splices: what is around `<image>` tokenised alone, one BOS in front of all."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    bos, chunks = tokenizer.bos_token_id, [tokenizer(c).input_ids for c in prompt.split("<image>")]
    has_bos = chunks[0][0] == bos
    ids = chunks[0] if not has_bos else [bos, *(i for i in chunks[0] if i != bos)]
    for chunk in chunks[1:]:
        ids = [*ids, image_id, *(chunk[1:] if has_bos else chunk)]
    return ids


def original_pixels(picture: Image.Image, kind: str) -> Tensor:
    """Padded to a square with the mean colour, resized, normalised: by Pillow and by hand."""
    side, (width, height) = max(picture.size), picture.size
    square = Image.new("RGB", (side, side), tuple(int(m * 255) for m in MEAN[kind]))
    square.paste(picture, ((side - width) // 2, (side - height) // 2))
    seen = np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) / 255
    scaled = (seen - np.array(MEAN[kind])) / np.array(STD[kind])
    return torch.tensor(scaled, dtype=torch.float32).permute(2, 0, 1)[None]


@torch.no_grad()
def original_logits(
    folder: Path, family: str, kind: str, ids: Sequence[int], pixels: Tensor, tower: Path | None
) -> Tensor:
    """The original's forward pass of one prompt, from the tensors of its files."""
    settings = json.loads((folder / "config.json").read_text())
    weights = original_weights(folder)
    text, vision = text_model(settings, FAMILIES[family]), vision_model(kind)
    own = {n: t for n, t in weights.items() if not n.startswith((TOWER, PROJECTOR))}
    tied = {"lm_head.weight": weights["model.embed_tokens.weight"]}
    text.load_state_dict(tied | own)
    seeing = weights if tower is None else load_file(tower / "model.safetensors")
    prefix = TOWER if tower is None else "vision_model."
    vision.load_state_dict(
        {n.removeprefix(prefix): t for n, t in seeing.items() if n.startswith(prefix)}
    )
    seen = vision(pixels, output_hidden_states=True).hidden_states[-2]
    if kind == "clip":
        seen = seen[:, 1:]
    for part in ("0", "2"):
        seen = F.linear(
            seen, weights[f"{PROJECTOR}{part}.weight"], weights[f"{PROJECTOR}{part}.bias"]
        )
        seen = F.gelu(seen) if part == "0" else seen
    if family == "gemma_2":
        seen = seen * 64**0.5  # the original scales all that enters the first layer
    at = list(ids).index(-200)
    words = [torch.tensor([part]) for part in (ids[:at], ids[at + 1 :])]
    before, after = (text.get_input_embeddings()(part) for part in words)
    return text(inputs_embeds=torch.cat([before, seen, after], 1)).logits[0]
