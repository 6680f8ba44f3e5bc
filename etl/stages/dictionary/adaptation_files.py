"""The files that an adaptation leaves, and the dictionaries read again.

While its stage is not finished, a dictionary has a folder of its own:

    sae/            SAELens folder, in the model's own kind of number
    facts.npz       n_firings, decoder_norm, losses, and how far it turned (4.2)
    curve.json      points of the curve

What is written is read again before anything is said of it, so that it is of the same numbers as
those that later stages read.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from feature_atlas.dictionary.sae import Sae
from feature_atlas.dictionary.training import Adaptation
from feature_atlas.etl.inputs.saes import load_sae, save_sae
from feature_atlas.etl.run_folder.artifacts import StageOutput, read_json
from feature_atlas.etl.run_folder.whole_files import write_json
from feature_atlas.etl.study import Study
from feature_atlas.features.decoder_cosine import best_base_match, decoder_cosine

READ_LATER = ("text",)
"""Regimes whose dictionaries later stages read."""


def write_adaptation(
    folder: Path, study: Study, regime: str, layer: int, result: Adaptation, *, keep: bool
) -> None:
    """All that one training left; the dictionary itself if it is to be kept."""
    metadata = {
        "model_name": study.config.vlm.name,
        "hook_name": f"blocks.{layer}.hook_resid_post",
        "base_release": study.config.sae.release,
        "regime": regime,
        "config_hash": study.inputs["config_hash"],
    }
    save_sae(result.sae, folder / "sae", metadata, study.config.vlm.dtype)
    np.savez(
        folder / "facts.npz",
        allow_pickle=False,
        n_firings=result.n_firings.numpy(),
        # the saved folder has unit decoder rows: their length is kept here
        decoder_norm=result.sae.w_dec.norm(dim=-1).cpu().numpy(),
        losses=result.losses.numpy(),
        **turned(study.base[layer], load_sae(folder / "sae").to(study.config.device)),
    )
    write_json(folder / "curve.json", {"points": [p._asdict() for p in result.curve]})
    if not keep:
        shutil.rmtree(folder / "sae")


def is_kept(study: Study, regime: str, seed_no: int = 0) -> bool:
    """Whether the dictionaries of a regime stay; of further seeds none does."""
    return seed_no == 0 and (study.config.adapt.keep == "all" or regime in READ_LATER)


@torch.no_grad()
def turned(base: Sae, adapted: Sae) -> dict[str, np.ndarray]:
    """How far each feature's directions turned, and which base feature it resembles (4.2, A.1)."""
    match = best_base_match(base.w_dec, adapted.w_dec)
    return {
        "cosine": decoder_cosine(base.w_dec, adapted.w_dec).cpu().numpy(),
        "encoder_cosine": decoder_cosine(base.w_enc.T, adapted.w_enc.T).cpu().numpy(),
        "base_norm": base.w_dec.norm(dim=-1).cpu().numpy(),
        "best_base_feature": match.feature.cpu().numpy().astype(np.int32),
        "best_base_cosine": match.cosine.cpu().numpy(),
    }


def gather_adaptation(output: StageOutput, regime: str, folders: dict[int, Path]) -> None:
    """Put the finished dictionaries of one regime, by layer, into the stage's folder."""
    for layer, folder in folders.items():
        if (folder / "sae").is_dir():
            target = output.folder / "sae" / regime / f"layer_{layer}"
            shutil.copytree(folder / "sae", target, copy_function=linked)
            output.tree(target)
        keep_facts(output, f"{regime}.{layer}", folder)
    curves = {
        layer: read_json(folder / "curve.json")["points"] for layer, folder in folders.items()
    }
    output.table("training_curve", _curve(regime, curves))


def keep_facts(output: StageOutput, name: str, folder: Path) -> None:
    """The numbers of one training, for stages that do not read its dictionary."""
    with np.load(folder / "facts.npz", allow_pickle=False) as facts:
        output.arrays(f"training.{name}", **facts)


def linked(source: str, target: str) -> None:
    """A second name for the file, or a copy where the disk knows no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _curve(regime: str, curves: dict[int, Sequence[dict[str, object]]]) -> dict[str, object]:
    points = [point | {"layer": layer} for layer, curve in curves.items() for point in curve]
    kinds = {"layer": np.int16, "tokens_seen": np.int64, "n_tokens": np.int64}
    columns = {name: [point[name] for point in points] for name in points[0]}
    return {
        "regime": [regime] * len(points),
        **{
            name: np.array(values, kinds[name]) if name in kinds else values
            for name, values in columns.items()
        },
    }


def read_adapted(study: Study, folder: Path, key: str) -> Sae:
    """A dictionary on the device; one that is kept is read again when its stage has another key."""
    device = study.config.device
    return study.adapted.taken_or_read((folder, key), lambda: load_sae(folder).to(device))
