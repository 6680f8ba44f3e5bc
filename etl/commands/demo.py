"""The demo: the shipped tiny world through the same pipeline as any other model."""

from pathlib import Path
from typing import Any

from rich.console import Console

from feature_atlas.etl.build import build_and_publish
from feature_atlas.etl.commands.summary import print_summary
from feature_atlas.etl.config.causes import (
    AblationConfig,
    AttributionConfig,
    ExactPatchConfig,
    GroupAblationConfig,
    InterpConfig,
    KnockoutConfig,
    SteeringConfig,
)
from feature_atlas.etl.config.features import (
    AdaptConfig,
    ExampleConfig,
    HarvestConfig,
    NeutralConfig,
    ScalingConfig,
    SelectionConfig,
)
from feature_atlas.etl.config.inputs import (
    BaseModelConfig,
    DataConfig,
    SaeConfig,
    StatedConfig,
    VlmConfig,
)
from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.run_folder.artifacts import read_json
from feature_atlas.etl.run_folder.whole_files import write_json
from feature_atlas.toy.base_sae import D_SAE
from feature_atlas.toy.weights import language_model_path, sae_path, training_record, vlm_path
from feature_atlas.toy.world import write_world

SEED = 0
WORLD = {
    "seed": SEED,
    "n_train_images": 900,
    "n_val_images": 450,
    "n_vsr_images": 1200,
    "n_text_scenes": 450,
}
"""Size of the drawn world: 8,100 questions, 3,600 statements and 5,850 texts."""

INSTANCES = ("vqa/instances_val2014.json", "vsr/instances_train2017.json")
"""Where everything is in the pictures that heads are looked at on."""

SIZES: dict[str, Any] = {
    "adapt": AdaptConfig(
        n_tokens=36_864, batch_size=512, learning_rate=7e-4, n_held_out=1024, n_evaluations=5
    ),
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


def run_demo(home: Path, console: Console, seed: int = SEED) -> None:
    """Draw the world, build its atlas (or find it published), print what came out.

    Another seed is another run beside it: of the same world, drawn and trained by other dice.
    """
    slug = build_and_publish(demo_config(draw_world(home, console), seed), home, console)
    print_summary(slug, console)


def draw_world(home: Path, console: Console) -> Path:
    """Write the drawn world's files once; they are kept in the home folder."""
    folder = home / "world"
    marker = folder / "world.json"
    needed = [marker, *(folder / name for name in INSTANCES)]  # earlier versions drew no instances
    if not all(file.is_file() for file in needed) or read_json(marker) != WORLD:
        console.print(f"drawing the tiny world into {folder}")
        write_world(folder, **WORLD)
        write_json(marker, WORLD)
    return folder


def demo_config(world: Path, seed: int = SEED) -> RunConfig:
    """The tiny world's run: smaller in `SIZES`, everything else as always."""
    n_layers = read_json(vlm_path() / "config.json")["text_config"]["num_hidden_layers"]
    return RunConfig(
        name="tiny-world",
        seed=seed,
        batch_size=64,
        vlm=VlmConfig(
            path=str(vlm_path()),
            name="tiny-llava",
            base=f"tiny-llama ({language_model_path().name})",
        ),
        sae=SaeConfig(
            path=str(sae_path(0)).replace("layer_0", "layer_{layer}"),
            release="tiny-scope",
            layers=tuple(range(n_layers)),
        ),
        base_model=BaseModelConfig(
            path=str(language_model_path()),
            text=world / "text.jsonl",
            # a scene is told once per question here, once per thirteen when the SAEs were trained,
            # and the tokens of scenes are longer
            norm_tolerance=0.6,
            stated={
                int(layer): StatedConfig(
                    fvu=sae["fvu"], l0=sae["l0"], share_dead=sae["n_dead"] / D_SAE
                )
                for layer, sae in read_json(training_record())["saes"].items()
            },
        ),
        data=DataConfig(
            vqa_folder=world / "vqa",
            vsr_folder=world / "vsr",
            n_adapt=5400,
            instances=tuple(world / name for name in INSTANCES),
        ),
        **SIZES,
    )
