"""Stage `forward_check`: is the model run as it runs by itself? (paper 3.1)

The first stage of every run, on a few real prompts. Out of bounds, the run stops and says which
piece differs at which layer.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import inf, isnan
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel

from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.study import Study, open_study
from feature_atlas.vlm.decoder_inputs import decoder_inputs
from feature_atlas.vlm.forward_check import (
    BOUNDS,
    Agreement,
    check_forward,
    require_own_features,
    require_own_forward,
)
from feature_atlas.vlm.resume import added_between
from feature_atlas.vlm.token_roles import PromptBatch

N_PROMPTS = 4
"""Questions with pictures that are run: the first ones of the run."""


def run_forward_check(run: Path) -> Stage:
    """One row per piece and layer."""
    study = open_study(run)
    return run_stage(
        run,
        "forward_check",
        params={"n_prompts": N_PROMPTS, "prompt": study.inputs["prompt"]},
        reads=[],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    model, batches = study.vlm.model, []
    first = study.samples["vqav2-val"][:N_PROMPTS]
    for batch, _ in study.prompts(first, with_pixels=True):
        require_own_features(model, batch)
        batches.append(batch._replace(features=None))  # rounds as the model's own forward does
    found = agreement(model, batches, study.layers)
    output.table("forward_check", _columns(found, BOUNDS[model.dtype]))
    _warn_of_additions(output, study)


def agreement(
    model: PreTrainedModel, batches: Iterable[PromptBatch], layers: Sequence[int]
) -> list[Agreement]:
    """The worst of some prompts, for every piece and layer; an error where it is out of bounds."""
    alike: dict[tuple[str, int], list[Agreement]] = defaultdict(list)
    for batch in batches:
        for one in check_forward(model, batch, layers):
            alike[one.piece, one.layer].append(one)
    found = [max(same, key=_badness) for same in alike.values()]
    require_own_forward(found, BOUNDS[model.dtype])
    return found


def _warn_of_additions(output: StageOutput, study: Study) -> None:
    """Where "after a layer" could mean two things, the run says which."""
    batch, _ = next(study.prompts(study.samples["vqav2-val"][:1]))
    model = study.vlm.model
    layers = [at for at in added_between(model, decoder_inputs(model, batch)) if at in study.layers]
    if layers:
        output.warn(
            f"{type(model).__name__} adds image features behind layers "
            f"{', '.join(map(str, layers))}: the residual of a layer is what its module returns, "
            "before that"
        )


def _badness(one: Agreement) -> float:
    """A NaN is the worst that can be."""
    return inf if isnan(one.difference) else one.difference


def _columns(found: Sequence[Agreement], bound: float) -> dict[str, object]:
    n = len(found)
    return {
        "piece": [one.piece for one in found],
        "layer": np.array([one.layer for one in found], np.int16),
        "difference": np.array([one.difference for one in found], np.float32),
        "bound": np.full(n, bound, np.float32),
        "n_prompts": np.full(n, N_PROMPTS),
    }
