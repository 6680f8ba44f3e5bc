"""How much of everything the two builds of the tiny world take: some minutes, or every stage."""

from typing import Any

from feature_atlas.etl.config.causes import (
    AblationConfig,
    AttributionConfig,
    ExactPatchConfig,
    GroupAblationConfig,
    InterpConfig,
    IntruderConfig,
    KnockoutConfig,
    OutputScoreConfig,
    SpatialCodeConfig,
    SteeringConfig,
    SupervisedConfig,
)
from feature_atlas.etl.config.features import (
    SKILLS,
    AdaptConfig,
    ExampleConfig,
    HarvestConfig,
    NeutralConfig,
    ScalingConfig,
    SelectionConfig,
)

TRAINING: dict[str, Any] = {
    "n_tokens": 36_864,
    "batch_size": 512,
    "learning_rate": 7e-4,
    "n_held_out": 1024,
    "n_evaluations": 5,
}
"""Few tokens: what turns in minutes."""

SIZES: dict[str, Any] = {
    "adapt": AdaptConfig(**TRAINING),
    "latent_scaling": ScalingConfig(n_questions=100),
    "harvest": HarvestConfig(skills=("spatial", "ocr"), n_control=1000),
    "selection": SelectionConfig(min_odds_ratio=2.0),  # a quarter fewer candidates to ask
    "neutral": NeutralConfig(n_samples=6, n_reply_tokens=24),
    "example": ExampleConfig(max_pictured=16),
    "auto_interp": InterpConfig(max_features=40),
    "head_attribution": AttributionConfig(max_features=16, rules=("relp", "ig", "grad_drop")),
    "exact_patch": ExactPatchConfig(n_top=5, n_random=3, n_samples=6, n_full_features=3),
    "head_knockout": KnockoutConfig(max_features=4, n_controls=1),
    "ablation": AblationConfig(
        max_features=5,
        n_screened=6,
        n_screen=64,
        n_other=150,
        n_vqa=150,
        n_controls=8,
        n_random_controls=2,
        n_direction_controls=2,
        n_compared=2,
    ),
    "group_ablation": GroupAblationConfig(n_statements=64, n_vqa=32, n_controls=1, max_features=16),
    "steering": SteeringConfig(max_features=4, n_statements=100),
}
"""Of everything that takes time: for two cores and some minutes."""


FULL_SIZES: dict[str, Any] = SIZES | {
    "adapt": AdaptConfig(
        **TRAINING,
        regimes=("text", "image", "full", "random", "refit", "language", "frozen_random"),
        seeds=(0, 1, 2),
    ),
    "latent_scaling": ScalingConfig(),
    "harvest": HarvestConfig(skills=(*SKILLS, "whatsup", "gqa"), n_control=1000),
    "example": ExampleConfig(max_pictured=48),
    "auto_interp": InterpConfig(max_features=100, variants=("RAW", "OUTPUT")),
    "intruder": IntruderConfig(n_trials=10, max_features=100),
    "output_score": OutputScoreConfig(n_pictures=8, max_features=50),
    "head_attribution": AttributionConfig(
        max_features=24,
        rules=("relp", "ig", "grad_drop"),
        corruption=("mean", "opposite"),
        n_paraphrases=2,
    ),
    "exact_patch": ExactPatchConfig(),
    "head_knockout": KnockoutConfig(),
    "ablation": AblationConfig(
        max_features=20, n_controls=12, n_random_controls=4, n_direction_controls=4, n_compared=3
    ),
    "group_ablation": GroupAblationConfig(n_statements=150, n_vqa=150, max_features=32),
    "steering": SteeringConfig(),
    "supervised": SupervisedConfig(max_relations=4),
    "spatial_code": SpatialCodeConfig(max_features=8),
}
"""Every stage, on the demo's dictionaries and candidates: for some half an hour."""
