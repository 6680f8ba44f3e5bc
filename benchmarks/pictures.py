"""What a picture costs: opened and prepared, through the vision tower, read from the shelf.

    python benchmarks/pictures.py                              (a CPU)
    python benchmarks/pictures.py --pictures 64 --device cuda  (a card)

CLIP-L/14-336 and a projector to 4096, random, in bfloat16; pictures are noise of COCO's size.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)
from true_widths import COCO_SIZE, PATCH, Widths

from feature_atlas.etl.inputs.checkpoints import Vlm
from feature_atlas.etl.inputs.feature_store import FeatureStore
from feature_atlas.etl.inputs.picture_shelf import PictureShelf
from feature_atlas.etl.inputs.prompt_maker import PictureFile, PromptJob, PromptMaker
from feature_atlas.toy.tokenizer import CHAT_TEMPLATE, build_tokenizer, vocabulary
from feature_atlas.vlm.image_features import image_features
from feature_atlas.vlm.residual_stream import freeze
from feature_atlas.vlm.token_roles import encode_prompts

QUESTION = "Is the red circle above the blue square?"
SIDE = 336


class Step(NamedTuple):
    """Something that is done with all pictures."""

    name: str
    run: Callable[[], object]
    n_times: int = 5
    """1: what is done for the first time is done once."""


def main() -> None:
    """Print milliseconds a picture, on one thread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        pictures = [_noise(Path(folder) / f"{i}.jpg", i) for i in range(asked.pictures)]
        vlm = Vlm(_tower().to(asked.device), _processor())
        store = FeatureStore(Path(folder) / "shelf", most_bytes=1e12, memory_bytes=0)
        print(f"{asked.pictures} pictures, {asked.device}, milliseconds a picture")
        for step in _steps(vlm, store, pictures):
            print(f"  {step.name:<42} {1000 * _seconds(step) / len(pictures):9.2f}")


def _steps(vlm: Vlm, store: FeatureStore, pictures: list[PictureFile]) -> list[Step]:
    model, processor = vlm
    shelf = PictureShelf(vlm, PromptMaker(processor, ""), store)
    opened = [picture.open() for picture in pictures]
    questions = [QUESTION] * len(pictures)
    whole = encode_prompts(processor, questions, opened).to(model.device)
    alone = {p: shelf.maker.alone(shown) for p, shown in zip(pictures, opened, strict=True)}
    tokens = PromptJob(tuple(questions), tuple(pictures))
    image_features(model, whole)  # a card's first products take longer
    return [
        Step("opened", lambda: [picture.open() for picture in pictures]),
        Step("prepared, all together", lambda: encode_prompts(processor, questions, opened)),
        Step("prepared, each by itself", lambda: [shelf.maker.alone(shown) for shown in opened]),
        Step("prompt without its picture", lambda: shelf.maker.tokenised(tokens)),
        Step("tower, all together", lambda: image_features(model, whole)),
        Step("tower, each by itself", lambda: shelf.features(pictures, alone), 1),
        Step("tower, each by itself, and written", lambda: shelf.features(pictures, alone), 1),
        Step("read", lambda: shelf.features(pictures, {})),
    ]


def _seconds(step: Step) -> float:
    """Median time, with all that a card has still to do."""
    seconds = []
    for _ in range(step.n_times):
        started = time.perf_counter()
        step.run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _noise(file: Path, seed: int) -> PictureFile:
    """Coarse and fine: about as many bytes as a photograph."""
    random, (width, height) = np.random.default_rng(seed), COCO_SIZE
    coarse = Image.fromarray(random.integers(0, 255, (30, 40, 3), dtype=np.uint8))
    fine = random.integers(-20, 20, (height, width, 3))
    shown = np.clip(np.asarray(coarse.resize(COCO_SIZE)) + fine, 0, 255).astype(np.uint8)
    Image.fromarray(shown).save(file, quality=90)
    return PictureFile(file)


def _tower() -> LlavaForConditionalGeneration:
    """With a text model that is as wide and does nothing."""
    vision = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=SIDE,
        patch_size=PATCH,
    )
    text = LlamaConfig(
        hidden_size=Widths().d_model,
        intermediate_size=64,
        num_hidden_layers=1,
        num_key_value_heads=1,
        vocab_size=len(vocabulary()),
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=vocabulary()["<image>"],
        image_seq_length=(SIDE // PATCH) ** 2,
    )
    return freeze(LlavaForConditionalGeneration(config).to(torch.bfloat16))


def _processor() -> LlavaProcessor:
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
        ),
        tokenizer=build_tokenizer(),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )


if __name__ == "__main__":
    main()
