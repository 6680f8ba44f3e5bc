"""Stage `logit_effect`: which tokens a feature's direction makes likelier (beside 4.2)."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.stages.dictionary.adapt import adapted_sae
from feature_atlas.etl.stages.features.selection import by_layer
from feature_atlas.etl.study import Study, open_study
from feature_atlas.features.logit_effect import Extremes, logit_effect
from feature_atlas.models.storable_text import fault_of
from feature_atlas.vlm.unembedding import unembedding

N_TOKENS = 10
FIRED = ("fired_image", "fired_question")
"""Features without a firing on either kind of token are left out: they write nothing."""


def run_logit_effect(run: Path) -> Stage:
    """One row per feature that fires."""
    study = open_study(run)
    return run_stage(
        run,
        "logit_effect",
        params={"n_tokens": N_TOKENS},
        reads=["visual_energy"],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    tokenizer = study.vlm.processor.tokenizer
    through = unembedding(study.vlm.model, len(tokenizer))
    fired = np.sum(
        [by_layer(study, "visual_energy", "visual_energy", column) for column in FIRED], axis=0
    )
    for layer, of_layer in zip(study.layers, fired, strict=True):
        features = np.flatnonzero(of_layer)
        decoder = adapted_sae(study, "text", layer).w_dec
        rows = decoder[torch.from_numpy(features).to(decoder.device)]
        found = logit_effect(rows, through, N_TOKENS)
        columns = {"layer": np.full(len(features), layer, np.int16), "feature": features}
        for end, extremes in found._asdict().items():
            columns |= {f"{end}_{name}": c for name, c in _columns(study, extremes).items()}
        output.table("logit_effect", columns)


def _columns(study: Study, extremes: Extremes) -> dict[str, object]:
    ids, effects = (tensor.cpu().numpy() for tensor in extremes)
    used, which = np.unique(ids, return_inverse=True)
    decoded = study.vlm.processor.tokenizer.batch_decode([[int(number)] for number in used])
    words = pa.array(["\ufffd" if fault_of(word) else word for word in decoded], pa.string())
    return {
        "token_ids": _lists(pa.array(ids.ravel().astype(np.int32)), ids.shape),
        "tokens": _lists(words.take(pa.array(which.ravel())), ids.shape),
        "effects": _lists(pa.array(effects.ravel()), ids.shape),
    }


def _lists(values: pa.Array, shape: tuple[int, ...]) -> pa.ListArray:
    n_rows, n_each = shape
    offsets = np.arange(0, n_rows * n_each + 1, n_each, dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)
