"""Stage `activation_histogram`: how strongly features fire, by kind of token (beside 4.2)."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.stages.features.harvest_sums import read_strengths
from feature_atlas.etl.study import Study, open_study
from feature_atlas.features.activation_histogram import COUNTED, N_BINS


def run_activation_histogram(run: Path) -> Stage:
    """One row per feature and role on whose tokens it fires."""
    study = open_study(run)
    return run_stage(
        run,
        "activation_histogram",
        params={},
        reads=["harvest"],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    for layer in study.layers:
        columns = _columns(layer, read_strengths(study, layer).tokens.numpy())
        output.table("activation_histogram", columns)


def _columns(layer: int, counts: Int[np.ndarray, "kind d_sae bin"]) -> dict[str, object]:
    """Every list from the first count above 0 to the last."""
    feature, kind = np.nonzero((counts > 0).any(-1).T)
    of_row = counts[kind, feature]
    first = (of_row > 0).argmax(1)
    end = N_BINS - (of_row[:, ::-1] > 0).argmax(1)
    bins = np.arange(N_BINS)
    kept = of_row[(bins >= first[:, None]) & (bins < end[:, None])]
    offsets = np.concatenate([[0], np.cumsum(end - first)])
    roles = pa.array([role.name.lower() for role in COUNTED])
    return {
        "layer": np.full(len(feature), layer, np.int16),
        "feature": feature.astype(np.int32),
        "role": roles.take(pa.array(kind)),
        "first_bin": first.astype(np.int16),
        "n_tokens": pa.ListArray.from_arrays(
            pa.array(offsets, pa.int32()), pa.array(kept.astype(np.int32))
        ),
    }
