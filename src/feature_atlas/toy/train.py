"""Train the tiny world's networks: language on text alone, then vision, then the base SAEs.

The same seed and the same number of threads give the same weights.
"""

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from rich.progress import Progress
from torch import Tensor, nn
from transformers import LlamaForCausalLM, LlavaForConditionalGeneration

from feature_atlas.toy.base_sae import save_base_sae, train_base_saes
from feature_atlas.toy.curriculum import CURRICULUM, OPENING_EYES, SEEING, Phase, steps_of
from feature_atlas.toy.examination import (
    examine_language,
    examine_vlm,
    mean_image_embedding,
    new_exam,
)
from feature_atlas.toy.learning import learn, weighted_loss
from feature_atlas.toy.lessons import Plan, Teacher, image_lesson, text_lesson
from feature_atlas.toy.networks import new_language_model, new_vlm
from feature_atlas.toy.reading import image_embeddings, packed_hidden, text_hidden
from feature_atlas.toy.tokenizer import build_processor, build_tokenizer

LANGUAGE_STEPS = 1400
VISION_STEPS = 1200
SAE_TOKENS = 600_000
# Added to the seed, so that the two stages see different scenes.
LANGUAGE_LESSONS, VISION_LESSONS = 11, 22
# Scenes of the examination come from a seed that no training run uses.
EXAM_SEED = 1_000_003
N_EXAM_SCENES = 300
N_MEAN_IMAGES = 500

OnStep = Callable[[int, float], None]


def train_toy(
    out: Path,
    *,
    seed: int = 0,
    language_steps: int = LANGUAGE_STEPS,
    vision_steps: int = VISION_STEPS,
    sae_tokens: int = SAE_TOKENS,
    threads: int = 2,
) -> dict:
    """Train everything into `out`; returns what is also written to `out/training.json`.

    `out/language_model`, `out/vlm` and `out/saes/layer_{i}` are the folders that `weights` names.
    Roughly 35 minutes on 2 idle cores with the default steps (from the time per step).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return _train(out, seed, language_steps, vision_steps, sae_tokens)
    finally:
        torch.set_num_threads(before)  # what runs next in this process is not ours to round


def _train(out: Path, seed: int, language_steps: int, vision_steps: int, sae_tokens: int) -> dict:
    started = time.monotonic()
    with Progress() as progress:
        language_model = train_language(
            seed, language_steps, _shown(progress, "language on text", language_steps)
        )
        save_language_model(language_model, out)
        vlm = train_vision(
            language_model, seed, vision_steps, _shown(progress, "vision", vision_steps)
        )
        save_vlm(vlm, out)
    saes, quality = train_base_saes(language_model, seed=seed, n_tokens=sae_tokens)
    for layer, sae in saes.items():
        save_base_sae(sae, layer, out / "saes" / f"layer_{layer}")
    report = {
        "seed": seed,
        "language_steps": language_steps,
        "vision_steps": vision_steps,
        "threads": torch.get_num_threads(),
        "minutes": round((time.monotonic() - started) / 60, 1),
        "accuracy": evaluate(language_model, vlm, n_scenes=N_EXAM_SCENES),
        "saes": {str(layer): measured._asdict() for layer, measured in quality.items()},
    }
    (out / "training.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def evaluate(
    language_model: LlamaForCausalLM,
    vlm: LlavaForConditionalGeneration,
    *,
    n_scenes: int = N_EXAM_SCENES,
    seed: int = EXAM_SEED,
) -> dict[str, dict[str, float]]:
    """Accuracy on fresh scenes by condition, then by kind and "kind: relation".

    Conditions: "text" (the language model, scene as text), "image" (the VLM), "mean_image" (the
    VLM, every picture replaced by the mean of many: what the words alone give away).
    """
    exam = new_exam(seed, n_scenes)
    mean_image = mean_image_embedding(vlm, seed + 1, N_MEAN_IMAGES)
    return {
        "text": examine_language(language_model, exam),
        "image": examine_vlm(vlm, exam),
        "mean_image": examine_vlm(vlm, exam, mean_image),
    }


def train_language(seed: int, n_steps: int, on_step: OnStep) -> LlamaForCausalLM:
    """Stage 1: a language model on scenes as text; `on_step` gets the step number and the loss."""
    torch.manual_seed(seed)
    model = new_language_model()
    teacher = Teacher(seed + LANGUAGE_LESSONS)

    def loss_of(plan: Plan) -> Tensor:
        packed = text_lesson(teacher, plan)
        return weighted_loss(text_hidden(model, packed), model.lm_head, packed)

    _follow(CURRICULUM, model, loss_of, n_steps, on_step)
    return model.eval()


def train_vision(
    language_model: LlamaForCausalLM, seed: int, n_steps: int, on_step: OnStep
) -> LlavaForConditionalGeneration:
    """Stage 2: eyes and projector first, then the text model with them."""
    torch.manual_seed(seed)
    vlm = new_vlm(language_model)
    teacher = Teacher(seed + VISION_LESSONS)

    def loss_of(plan: Plan) -> Tensor:
        packed, pixels = image_lesson(teacher, plan)
        hidden = packed_hidden(vlm, packed, image_embeddings(vlm, pixels))
        return weighted_loss(hidden, vlm.lm_head, packed)

    vlm.model.language_model.requires_grad_(False)
    _follow(OPENING_EYES, vlm, loss_of, n_steps, on_step)
    vlm.model.language_model.requires_grad_(True)
    n_done = sum(steps_of(phase, n_steps) for phase in OPENING_EYES)
    _follow(SEEING, vlm, loss_of, n_steps, on_step, n_done)
    return vlm.eval()


def _follow(
    phases: Sequence[Phase],
    model: nn.Module,
    loss_of: Callable[[Plan], Tensor],
    n_steps: int,
    on_step: OnStep,
    n_done: int = 0,
) -> None:
    for phase in phases:
        n_phase = steps_of(phase, n_steps)
        losses = learn(model, partial(loss_of, phase.plan), n_phase, phase.rate)
        for step, loss in enumerate(losses, start=n_done + 1):
            on_step(step, loss)
        n_done += n_phase


def save_language_model(model: LlamaForCausalLM, out: Path) -> None:
    """`out/language_model`, with its tokenizer."""
    model.save_pretrained(out / "language_model")
    build_tokenizer().save_pretrained(out / "language_model")


def save_vlm(vlm: LlavaForConditionalGeneration, out: Path) -> None:
    """`out/vlm`, with its processor."""
    vlm.save_pretrained(out / "vlm")
    build_processor().save_pretrained(out / "vlm")


def _shown(progress: Progress, name: str, n_steps: int) -> OnStep:
    task = progress.add_task(name, total=n_steps)

    def on_step(step: int, loss: float) -> None:
        progress.update(task, completed=step, description=f"{name}, loss {loss:.3f}")

    return on_step
