"""Stage `adapt-prompts` of a run by chance: in the place of adapted dictionaries, random ones.

    adapt-prompts/sae/text/layer_<L>/       SAELens folders, as an adaptation leaves them
    adapt-prompts/training.text.<L>.npz     cosines with the base; nothing fired, nothing trained
    adapt-prompts/reconstruction.npz        FVU and L0 of the trained and the random, by layer

The held-out prompts of the stream go through the VLM once more: from their text tokens a layer's
mean and level are taken, so that it fires as often as what the run trained.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from feature_atlas.dictionary.frozen_random import frozen_random
from feature_atlas.dictionary.reconstruction import held_out_parts, reconstruction
from feature_atlas.dictionary.sae import Sae
from feature_atlas.etl.inputs.saes import load_sae, save_sae
from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, require_stage, run_stage
from feature_atlas.etl.stages.dictionary.adapt import adapted_sae
from feature_atlas.etl.stages.dictionary.adapt_stream import ActivationStream
from feature_atlas.etl.stages.dictionary.adaptation_files import turned
from feature_atlas.etl.stages.dictionary.train_dictionary import start_seed
from feature_atlas.etl.study import Study
from feature_atlas.vlm.harvest import harvest
from feature_atlas.vlm.token_roles import TEXT_ROLES

STAGE = "adapt-prompts"
REGIME = "frozen_random"


def run_frozen_random(by_chance: Path, study: Study) -> Stage:
    """Leave in the folder of the run by chance what stands for the dictionaries of ``study``."""
    return run_stage(
        by_chance,
        STAGE,
        params={
            "regime": REGIME,
            "n_held_out": study.config.adapt.n_held_out,
            "like": require_stage(study.run, STAGE)["key"],
        },
        reads=[],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    tokens, judged = _text_tokens(study), []
    for layer in study.layers:
        residual = tokens.pop(layer).to(study.config.device)
        trained = adapted_sae(study, "text", layer)
        expected = reconstruction(trained, residual)
        drawn = frozen_random(trained, residual, expected.l0, start_seed(study, layer, REGIME))
        folder = output.folder / "sae" / "text" / f"layer_{layer}"
        kept = _kept(study, layer, drawn, folder)
        output.tree(folder)
        output.arrays(f"training.text.{layer}", **_facts(study.base[layer], kept))
        found = reconstruction(kept, residual)
        judged.append((expected.fvu, expected.l0, found.fvu, found.l0))
    names = ("fvu", "l0", "random_fvu", "random_l0")
    output.arrays("reconstruction", **dict(zip(names, np.array(judged).T, strict=True)))


def _text_tokens(study: Study) -> dict[int, Tensor]:
    """Residuals of held-out text tokens, by layer."""
    stream, model = ActivationStream(study, "prompts"), study.vlm.model
    passes = (harvest(model, batch, study.layers, roles=TEXT_ROLES) for batch in stream.held_out())
    parts = list(held_out_parts(passes, [TEXT_ROLES], study.config.adapt.n_held_out))
    return {
        layer: torch.cat([part.residuals[layer].cpu() for part in parts]) for layer in study.layers
    }


def _kept(study: Study, layer: int, drawn: Sae, folder: Path) -> Sae:
    """Written in the model's own kind of number, and read again: as later stages have it."""
    metadata = {
        "model_name": study.config.vlm.name,
        "hook_name": f"blocks.{layer}.hook_resid_post",
        "regime": REGIME,
    }
    save_sae(drawn, folder, metadata, study.config.vlm.dtype)
    return load_sae(folder).to(study.config.device)


def _facts(base: Sae, drawn: Sae) -> dict[str, Any]:
    n = len(drawn.w_dec)
    return {
        "n_firings": np.zeros(n, np.int64),
        "decoder_norm": np.ones(n, np.float32),
        "losses": np.zeros(0, np.float32),
        **turned(base, drawn),
    }
