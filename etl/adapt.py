"""Stage `adapt`: one regime of dictionary adaptation for a group of layers (paper 4.1, A.2)."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import Tensor

from feature_atlas.adapt import REGIME_ROLES, Adaptation, adapt, starting_point
from feature_atlas.etl.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.checkpoints import load_sae, save_sae
from feature_atlas.etl.config import stable_hash
from feature_atlas.etl.samples import Sample
from feature_atlas.etl.study import Study, open_study
from feature_atlas.harvest import Tokens, harvest, residual_stream
from feature_atlas.sae import TopKSae


def layer_groups(study: Study) -> list[list[int]]:
    """Layers that train together from one forward pass."""
    size = study.config.adapt.layers_per_group
    return [study.layers[i : i + size] for i in range(0, len(study.layers), size)]


def stage_name(regime: str, group: int) -> str:
    """Folder of one regime and layer group."""
    return f"adapt-{regime}-{group}"


def run_adapt(run: Path, regime: str, group: int) -> Stage:
    """Train one regime on one group of layers; leaves SAELens folders and the curve."""
    study = open_study(run)
    layers = layer_groups(study)[group]
    params = {
        **study.config.adapt.model_dump(exclude={"regimes"}),
        "regime": regime,
        "layers": layers,
        "seed": study.config.seed,
    }
    return run_stage(
        run,
        stage_name(regime, group),
        params=params,
        reads=["mean_image"],
        body=lambda output: _write(output, study, regime, _train(study, regime, layers)),
    )


def adapted_sae(study: Study, regime: str, layer: int) -> TopKSae:
    """The dictionary that a finished adaptation left for one layer."""
    for group, layers in enumerate(layer_groups(study)):
        if layer in layers:
            return load_sae(study.run / stage_name(regime, group) / "sae" / f"layer_{layer}").to(
                study.config.device
            )
    raise ValueError(f"layer {layer} is not studied; expected one of {study.layers}.")


def held_out_split(samples: list[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Training and held-out samples; a tenth of the images, so that no picture is in both."""
    images = sorted({s.image for s in samples})
    held = set(images[:: max(len(images) // max(len(images) // 10, 1), 1)])
    training = [s for s in samples if s.image not in held]
    return training, [s for s in samples if s.image in held]


def _train(study: Study, regime: str, layers: list[int]) -> Adaptation:
    config = study.config.adapt
    training, held_out = held_out_split(study.samples["vqav2-train"])
    base = {layer: study.base[layer] for layer in layers}
    stream = residual_stream(
        _epochs(study, training, layers),
        REGIME_ROLES[regime],
        {layer: sae.scale for layer, sae in base.items()},
    )
    return adapt(
        {i: starting_point(regime, sae, _start_seed(study, i)) for i, sae in base.items()},
        stream,
        held_out=_held_out_tokens(study, held_out, layers, regime),
        n_tokens=config.n_tokens,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        n_evaluations=config.n_evaluations,
        seed=study.config.seed,
        device=study.config.device,
    )


def _start_seed(study: Study, layer: int) -> int:
    """A seed that no other draw shares: small seeds are what base SAEs were started from."""
    return int(stable_hash(["random regime", study.config.seed, layer])[:8], 16)


def _epochs(study: Study, samples: list[Sample], layers: list[int]) -> Iterator[Tokens]:
    """Residuals of the samples, shuffled anew each epoch, without end."""
    for epoch in count():
        order = list(samples)
        Random(f"{study.config.seed}:{epoch}").shuffle(order)
        for batch, _ in study.prompts(order):
            yield harvest(study.vlm.model, batch, layers)


def _held_out_tokens(
    study: Study, samples: list[Sample], layers: list[int], regime: str
) -> dict[int, Tensor]:
    wanted = study.config.adapt.n_held_out
    parts: list[Tokens] = []
    for batch, _ in study.prompts(samples):
        parts.append(harvest(study.vlm.model, batch, layers).only(REGIME_ROLES[regime]))
        if sum(len(p.roles) for p in parts) >= wanted:
            break
    return {
        layer: torch.cat([p.residuals[layer] for p in parts])[:wanted].float() for layer in layers
    }


def _write(output: StageOutput, study: Study, regime: str, result: Adaptation) -> None:
    for layer, sae in result.saes.items():
        folder = output.folder / "sae" / f"layer_{layer}"
        save_sae(
            sae,
            folder,
            {
                "model_name": study.config.vlm.name,
                "hook_name": f"blocks.{layer}.hook_resid_post",
                "base_release": study.config.sae.release,
                "regime": regime,
                "config_hash": study.inputs["config_hash"],
            },
        )
        output.arrays(  # the saved folder has unit decoder rows: their length is kept here
            f"training.{layer}",
            n_firings=result.n_firings[layer].numpy(),
            decoder_norm=sae.w_dec.norm(dim=-1).cpu().numpy(),
        )
    output.tree(output.folder / "sae")
    curve = result.curve
    output.table(
        "training_curve",
        {
            "regime": [regime] * len(curve),
            "layer": np.array([p.layer for p in curve], np.int16),
            "tokens_seen": np.array([p.tokens_seen for p in curve], np.int64),
            "fvu": np.array([p.fvu for p in curve]),
            "l0": np.array([p.l0 for p in curve]),
            "n_tokens": np.full(len(curve), study.config.adapt.n_held_out, np.int64),
            "learning_rate": np.full(len(curve), study.config.adapt.learning_rate),
        },
    )
