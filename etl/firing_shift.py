"""Stage `firing_shift`: which features a skill's questions recruit (paper 4.3, A.5, A.6).

Three splits against the rest of the VQA base: spatial questions, OCR questions, and VSR statements
(the second reading of the paper's "VSR OR").
"""

from pathlib import Path

import numpy as np

from feature_atlas.etl.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.harvest import read_sums
from feature_atlas.etl.study import Study, open_study
from feature_atlas.firing_shift import firing_shift
from feature_atlas.selection import candidates


def run_firing_shift(run: Path) -> Stage:
    """One row per skill, layer and feature."""
    study = open_study(run)
    config = study.config.selection
    return run_stage(
        run,
        "firing_shift",
        params=config.model_dump(exclude={"epsilon", "cosine_quantile"}),
        reads=["harvest"],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    sums = [read_sums(study, layer).counts for layer in study.layers]
    config = study.config.selection
    for skill in (*study.config.harvest.skills, "vsr"):
        asked = [counts[skill] for counts in sums]
        rest = [c["base"] if skill == "vsr" else c["base"].minus(c[skill]) for c in sums]
        shift = firing_shift(asked, rest)
        chosen = candidates(
            shift,
            min_delta_p=config.min_delta_p,
            min_odds_ratio=config.min_odds_ratio,
            min_fired=config.min_fired,
            max_q=config.max_q,
        )
        n, d_sae = len(chosen), len(chosen) // len(study.layers)
        output.table(
            "firing_shift",
            {
                "skill": [skill] * n,
                "layer": np.repeat(np.array(study.layers, np.int16), d_sae),
                "feature": np.tile(np.arange(d_sae, dtype=np.int32), len(study.layers)),
                **shift._asdict(),
                "is_candidate": chosen,
            },
        )
