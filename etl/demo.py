"""The demo: the shipped tiny world through the same pipeline as any other model."""

from pathlib import Path

from rich.console import Console

from feature_atlas.etl.artifacts import read_json, write_json
from feature_atlas.etl.build import build_and_publish
from feature_atlas.etl.config import (
    AblationConfig,
    AdaptConfig,
    AttributionConfig,
    DataConfig,
    InterpConfig,
    RunConfig,
    SaeConfig,
    VlmConfig,
)
from feature_atlas.etl.summary import print_summary
from feature_atlas.toy.weights import language_model_path, sae_path, vlm_path
from feature_atlas.toy.world import write_world

SEED = 0
WORLD = {"seed": SEED, "n_train_images": 1200, "n_val_images": 900, "n_vsr_images": 2400}
"""Size of the drawn world: 12,600 questions and 7,200 statements."""


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
    if not marker.is_file() or read_json(marker) != WORLD:
        console.print(f"drawing the tiny world into {folder}")
        write_world(folder, **WORLD)
        write_json(marker, WORLD)
    return folder


def demo_config(world: Path, seed: int = SEED) -> RunConfig:
    """The tiny world's run: sizes for two cores and some minutes, everything else as always."""
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
        data=DataConfig(vqa_folder=world / "vqa", vsr_folder=world / "vsr", n_adapt=7200),
        adapt=AdaptConfig(n_tokens=200_000, batch_size=1024, learning_rate=3e-4),
        auto_interp=InterpConfig(max_features=80),
        head_attribution=AttributionConfig(max_features=60),
        ablation=AblationConfig(max_features=30),
    )
