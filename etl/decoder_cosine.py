"""Stage `decoder_cosine`: how far each feature turned, in every regime (paper 4.2, A.1)."""

from pathlib import Path

import numpy as np
import torch

from feature_atlas.decoder_cosine import best_base_match, decoder_cosine
from feature_atlas.etl.adapt import adapted_sae, layer_groups, stage_name
from feature_atlas.etl.artifacts import Stage, StageOutput, read_arrays, run_stage
from feature_atlas.etl.study import Study, open_study


def run_decoder_cosine(run: Path) -> Stage:
    """One row per regime, layer and feature."""
    study = open_study(run)
    groups = range(len(layer_groups(study)))
    regimes = study.config.adapt.regimes
    return run_stage(
        run,
        "decoder_cosine",
        params={"regimes": list(regimes)},
        reads=[stage_name(regime, group) for regime in regimes for group in groups],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    for regime in study.config.adapt.regimes:
        for group, layers in enumerate(layer_groups(study)):
            for layer in layers:
                trained = read_arrays(study.run, stage_name(regime, group), f"training.{layer}")
                output.table("decoder_cosine", _columns(study, regime, layer, trained))


@torch.no_grad()
def _columns(
    study: Study, regime: str, layer: int, trained: dict[str, np.ndarray]
) -> dict[str, object]:
    base, adapted = study.base[layer], adapted_sae(study, regime, layer)
    match = best_base_match(base.w_dec, adapted.w_dec)
    n = len(trained["n_firings"])
    return {
        "regime": [regime] * n,
        "layer": np.full(n, layer, np.int16),
        "feature": np.arange(n, dtype=np.int32),
        "cosine": decoder_cosine(base.w_dec, adapted.w_dec).cpu().numpy(),
        "encoder_cosine": decoder_cosine(base.w_enc.T, adapted.w_enc.T).cpu().numpy(),
        "base_norm": base.w_dec.norm(dim=-1).cpu().numpy(),
        "adapted_norm": trained["decoder_norm"],
        "best_base_feature": match.feature.cpu().numpy().astype(np.int32),
        "best_base_cosine": match.cosine.cpu().numpy(),
        "n_firings": trained["n_firings"].astype(np.int64),
    }
