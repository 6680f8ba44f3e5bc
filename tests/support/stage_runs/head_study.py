"""A small study whose heads are looked at: adaptation and harvest are replaced by the base
dictionaries and by chosen features and samples.
"""

from pathlib import Path

import pytest

import feature_atlas.etl.stages.heads.clean_and_corrupt as both_runs
import feature_atlas.etl.stages.heads.corrupted_samples as corrupted_samples
import feature_atlas.etl.stages.heads.exact_patch as exact_stage
import feature_atlas.etl.stages.heads.head_attribution as stage
import feature_atlas.etl.stages.heads.head_knockout as knockout_stage
from feature_atlas.etl.commands.demo import demo_config
from feature_atlas.etl.config.causes import AttributionConfig, ExactPatchConfig, KnockoutConfig
from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.run_folder.whole_files import write_json
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.stages.features.skills import BASE
from feature_atlas.etl.stages.vlm.mean_image import run_mean_image
from feature_atlas.etl.study import Study, open_run
from feature_atlas.toy.world import write_world

FEATURES = [Feature(3, 11), Feature(1, 5), Feature(3, 40)]
TOP = {FEATURES[0]: [2, 0, 5], FEATURES[1]: [0, 2, 7], FEATURES[2]: [9, 5, 1]}
"""Rows of the base split: features share samples, within a layer and between layers."""
RULES = ("relp", "ig", "grad_drop")


def configured(world: Path, **changes: object) -> RunConfig:
    config = demo_config(world)
    return config.model_copy(
        update={
            "name": "heads",
            "batch_size": 4,
            "data": config.data.model_copy(update={"n_adapt": 40, "n_base": 40}),
            "head_attribution": AttributionConfig(
                **{"n_samples": 3, "n_mean_images": 6, "samples_at_once": 4, "rules": RULES}
                | changes
            ),
            "exact_patch": ExactPatchConfig(n_top=2, n_random=3, n_samples=3, n_full_features=1),
            "head_knockout": KnockoutConfig(max_features=1, n_heads=2, n_controls=2),
        }
    )


def draw_world(folder: Path) -> Path:
    return write_world(folder, seed=9, n_train_images=12, n_val_images=12, n_vsr_images=40)


def replace_earlier_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the stages before would have found."""

    def top_samples(study: Study, feature: Feature, source: str, n: int) -> list[int]:
        first = study.first_number[BASE if source == "vqav2" else "vsr-train"]
        return [row + first for row in TOP[feature][:n]]

    monkeypatch.setattr(corrupted_samples, "top_samples", top_samples)
    for module in (stage, exact_stage, knockout_stage):
        monkeypatch.setattr(module, "adapt_stages", lambda *_: [])
    for module in (both_runs, knockout_stage):
        monkeypatch.setattr(module, "adapted_sae", lambda study, _regime, layer: study.base[layer])
    monkeypatch.setattr(stage, "studied_features", lambda _study: FEATURES)
    monkeypatch.setattr(
        "feature_atlas.etl.stages.ablation.evaluation_sets.relation_of", lambda *_: "left of"
    )
    monkeypatch.setattr(knockout_stage, "relation_of", lambda *_: "left of")


def opened(world: Path, home: Path, **changes: object) -> Path:
    """A run whose earlier stages have records but no results."""
    run = open_run(configured(world, **changes), home)
    for name in ("samples", "neutral_prompt", "ablation", "harvest"):
        (run / name).mkdir()
        write_json(run / name / "stage.json", {"key": name, "files": []})
    run_mean_image(run)
    return run


def top_of(study: Study, feature: Feature) -> list[int]:
    return [row + study.first_number[BASE] for row in TOP[feature]]
