"""Stage `nearest_feature`: which features write nearly the same direction (beside 4.2)."""

from pathlib import Path

import numpy as np

from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.stages.dictionary.adapt import adapt_stages, adapted_sae
from feature_atlas.etl.study import Study, open_study
from feature_atlas.features.nearest_feature import nearest_features

N_NEAREST = 8


def run_nearest_feature(run: Path) -> Stage:
    """One row per layer and feature."""
    study = open_study(run)
    return run_stage(
        run,
        "nearest_feature",
        params={"n_nearest": N_NEAREST},
        reads=adapt_stages(study, "text"),
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    for layer in study.layers:
        nearest = nearest_features(adapted_sae(study, "text", layer).w_dec, N_NEAREST)
        n = len(nearest.feature)
        columns = {
            "layer": np.full(n, layer, np.int16),
            "feature": np.arange(n, dtype=np.int32),
            "features": list(nearest.feature.cpu().numpy().astype(np.int32)),
            "cosines": list(nearest.cosine.cpu().numpy()),
        }
        output.table("nearest_feature", columns)
