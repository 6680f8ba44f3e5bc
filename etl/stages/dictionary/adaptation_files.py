"""The files that an adaptation leaves in its stage's folder, and the dictionaries read again."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from feature_atlas.dictionary.regime_trainer import Adaptation, CurvePoint
from feature_atlas.dictionary.sae import Sae
from feature_atlas.etl.inputs.saes import load_sae, save_sae
from feature_atlas.etl.run_folder.artifacts import StageOutput
from feature_atlas.etl.study import Study


def write_adaptation(output: StageOutput, study: Study, regime: str, result: Adaptation) -> None:
    """SAELens folders, what training counted, and the curve of one regime."""
    for layer, sae in result.saes.items():
        folder = output.folder / "sae" / regime / f"layer_{layer}"
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
        output.tree(folder)
        output.arrays(  # the saved folder has unit decoder rows: their length is kept here
            f"training.{regime}.{layer}",
            n_firings=result.n_firings[layer].numpy(),
            decoder_norm=sae.w_dec.norm(dim=-1).cpu().numpy(),
            losses=result.losses[layer].numpy(),
        )
    output.table("training_curve", _curve(regime, result.curve))


def _curve(regime: str, curve: Sequence[CurvePoint]) -> dict[str, object]:
    return {
        "regime": [regime] * len(curve),
        "layer": np.array([p.layer for p in curve], np.int16),
        "tokens_seen": np.array([p.tokens_seen for p in curve], np.int64),
        "role": [p.role for p in curve],
        "fvu": np.array([p.fvu for p in curve]),
        "l0": np.array([p.l0 for p in curve]),
        "n_tokens": np.array([p.n_tokens for p in curve], np.int64),
        "learning_rate": np.array([p.learning_rate for p in curve]),
    }


@lru_cache(maxsize=4)  # of a large model a layer is a gigabyte; stages go layer by layer
def read_adapted(folder: Path, _key: str, device: str) -> Sae:
    """A dictionary; read again only when its stage has another key."""
    return load_sae(folder).to(device)
