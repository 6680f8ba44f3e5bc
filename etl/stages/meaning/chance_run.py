"""A run by chance: the same stages over dictionaries that know nothing (beside 4 and 5).

    <run>/scratch/frozen_random/            a run folder, never published; gone with the scratch

What does not depend on a dictionary is the run's own (linked). Heads are not sought, removals have
no controls of their own, and rotation has none either, since nothing was trained: the adapted set
is a random quarter of what sees. Everything else is as in the run, to the last setting.
"""

import shutil
from pathlib import Path

from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.run_folder.artifacts import SCRATCH, read_json, run_stage
from feature_atlas.etl.run_folder.whole_files import write_json
from feature_atlas.etl.stages.ablation.ablation import run_ablation
from feature_atlas.etl.stages.dictionary.adaptation_files import linked
from feature_atlas.etl.stages.dictionary.frozen_random import REGIME, run_frozen_random
from feature_atlas.etl.stages.features.decoder_cosine import run_decoder_cosine
from feature_atlas.etl.stages.features.example import run_example
from feature_atlas.etl.stages.features.firing_shift import run_firing_shift
from feature_atlas.etl.stages.features.harvest import run_harvest
from feature_atlas.etl.stages.features.neutral_prompt import run_neutral_prompt
from feature_atlas.etl.stages.features.selection import run_selection
from feature_atlas.etl.stages.features.visual_energy import run_visual_energy
from feature_atlas.etl.stages.meaning.auto_interp import run_auto_interp
from feature_atlas.etl.study import Study, open_study

SHARED = ("samples", "sample_skill", "mean_image")
"""Stages that no dictionary has a part in."""
LEFT_OUT = ("head_attribution", "overlay")
"""Stages that leave nothing here."""
ALONE = {
    "n_controls": 1,
    "n_random_controls": 0,
    "n_direction_controls": 0,
    "n_other": 2,
    "n_vqa": 2,
    "n_compared": 0,
    "replicate_paper": False,
}
"""Of removals: what stands beside them is left out, as far as a setting goes."""
STAGES = (
    *(run_decoder_cosine, run_harvest, run_visual_energy, run_selection, run_firing_shift),
    *(run_neutral_prompt, run_example, run_ablation, run_auto_interp),
)


def run_by_chance(study: Study) -> Study:
    """Every stage, or those that a killed process left undone; returns what they are a study of."""
    folder = _opened(study)
    run_frozen_random(folder, study)
    study.drop("vlm", "base_model")  # the other study reads them again
    for name in LEFT_OUT:
        run_stage(folder, name, params={}, reads=[], body=lambda _: None)
    for stage in STAGES:
        stage(folder)
    return open_study(folder)


def _opened(study: Study) -> Path:
    folder = study.run / SCRATCH / REGIME
    inputs = read_json(study.run / "inputs.json")
    config = _by_chance(study.config)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "inputs.json", inputs | {"config": config.model_dump(mode="json")})
    pictures = folder / SCRATCH  # whose features are kept for both
    if not pictures.is_symlink():
        pictures.symlink_to(study.run.resolve() / SCRATCH)
    for name in SHARED:
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(study.run / name, folder / name, copy_function=linked)
    return folder


def _by_chance(config: RunConfig) -> RunConfig:
    """Of a run with one regime: what stands in its place is drawn."""
    adapt = config.adapt.model_copy(update={"regimes": ("text",), "seeds": config.adapt.seeds[:1]})
    ablation = config.ablation.model_copy(update=ALONE)
    interp = config.auto_interp.model_copy(update={"variants": ("RAW",)})
    changed = {"adapt": adapt, "ablation": ablation, "auto_interp": interp}
    return config.model_copy(update={**changed, "base_model": None, "instruct": None})
