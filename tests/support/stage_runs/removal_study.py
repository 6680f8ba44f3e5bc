"""A small study whose features are ablated: adaptation and harvest are replaced by the base
dictionaries and by chosen features.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import feature_atlas.etl.stages.ablation.ablation as stage
import feature_atlas.etl.stages.ablation.ablation_screening as screening
import feature_atlas.etl.stages.ablation.evaluation_sets as evaluation_sets
import feature_atlas.etl.stages.ablation.group_ablation as group_stage
import feature_atlas.etl.stages.ablation.interventions as removals
import feature_atlas.etl.stages.ablation.spatial_code as code_stage
import feature_atlas.etl.stages.ablation.spatial_code_ablation as code_removals
import feature_atlas.etl.stages.ablation.steering as steering_stage
import feature_atlas.etl.stages.ablation.supervised_ablation as supervised_removals
import feature_atlas.etl.stages.ablation.supervised_direction as supervised
import feature_atlas.etl.stages.ablation.supervised_steering as supervised_additions
from feature_atlas.etl.commands.demo import demo_config
from feature_atlas.etl.config.causes import (
    AblationConfig,
    AttributionConfig,
    GroupAblationConfig,
    SpatialCodeConfig,
    SteeringConfig,
    SupervisedConfig,
)
from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.run_folder.whole_files import write_json
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.stages.vlm.mean_image import run_mean_image
from feature_atlas.etl.study import Study, open_run, open_study

SURVIVORS = [Feature(3, 11), Feature(1, 5), Feature(3, 40)]
CANDIDATES = [*SURVIVORS, Feature(3, 77), Feature(1, 9), Feature(1, 10)]
MEAN_ACTIVATION = 2.5
RELATION = "left of"
"""What every feature is about where nothing else is said."""


def benches(world: Path) -> dict[str, Path]:
    """The further benches that lie in the world."""
    folders = {f"{name}_folder": world / name for name in ("whatsup", "gqa")}
    return {setting: folder for setting, folder in folders.items() if folder.is_dir()}


def configured(world: Path) -> RunConfig:
    config = demo_config(world)
    return config.model_copy(
        update={
            "name": "removals",
            "batch_size": 16,
            "data": config.data.model_copy(update={"n_adapt": 40, "n_base": 60, **benches(world)}),
            "head_attribution": AttributionConfig(n_mean_images=6),
            "ablation": AblationConfig(
                max_features=2, n_screened=1, n_screen=6, n_controls=3, n_random_controls=2,
                n_direction_controls=2, n_other=12, n_vqa=10, n_further=9,
                n_compared=1, n_bootstrap=100,
            ),
            "group_ablation": GroupAblationConfig(n_statements=8, n_vqa=6, n_controls=1),
            "steering": SteeringConfig(max_features=1, alphas=(0.0, 2.0), n_statements=8),
            "spatial_code": SpatialCodeConfig(max_features=2, n_statements=40, n_shuffled=1),
            "supervised": SupervisedConfig(max_relations=1, n_train=12, n_shuffled=2),
        }
    )  # fmt: skip


def by_layer(study: Study, _stage: str, _table: str, column: str, **_: object) -> np.ndarray:
    """Firing rates all alike enough to be matched."""
    if column == "mean_activation":
        return np.full((len(study.layers), 1024), MEAN_ACTIVATION)
    return np.random.default_rng(3).uniform(0.1, 0.12, (len(study.layers), 1024))


def removal_study(
    world: Path, home: Path, relation_of: Callable[[Study, Feature], str | None]
) -> Study:
    """All these stages done on a world; ``relation_of`` says what each feature is about."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (
            *(removals, screening, group_stage, steering_stage),
            *(supervised, code_removals),
        ):
            patch.setattr(module, "adapted_sae", lambda study, _regime, layer: study.base[layer])
        for module in (
            *(stage, group_stage, steering_stage),
            *(supervised, supervised_removals, supervised_additions, code_removals),
        ):
            patch.setattr(module, "adapt_stages", lambda *_: [])
        for module in (stage, group_stage):
            patch.setattr(module, "survivors_of", lambda *_: list(SURVIVORS))
        for module in (removals, steering_stage):
            patch.setattr(module, "by_layer", by_layer)
        patch.setattr(stage, "candidates_of", lambda *_: list(CANDIDATES))
        for module in (evaluation_sets, group_stage):
            patch.setattr(module, "relation_of", relation_of)
        run = open_run(configured(world), home)
        for name in ("samples", "neutral_prompt", "visual_energy", "harvest"):
            (run / name).mkdir()
            write_json(run / name / "stage.json", {"key": name, "files": []})
        run_mean_image(run)
        stage.run_ablation(run)
        group_stage.run_group_ablation(run)
        steering_stage.run_steering(run)
        supervised.run_supervised_direction(run)
        supervised_removals.run_supervised_ablation(run)
        supervised_additions.run_supervised_steering(run)
        code_stage.run_spatial_code(run)
        code_removals.run_spatial_code_ablation(run)
    return open_study(run)
