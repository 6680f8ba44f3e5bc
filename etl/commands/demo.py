"""The demo: the shipped tiny world through the same pipeline as any other model."""

from pathlib import Path

from rich.console import Console

from feature_atlas.etl.build import build_and_publish
from feature_atlas.etl.commands.demo_sizes import FULL_SIZES, SIZES
from feature_atlas.etl.commands.summary import print_summary
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
from feature_atlas.toy.benches import write_benches
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

N_BENCH_IMAGES = 150
"""Pictures of either set of What'sUp, and of GQA: 600 statements and 300 questions."""


def run_demo(home: Path, console: Console, seed: int = SEED) -> None:
    """Draw the world, build its atlas (or find it published), print what came out.

    Another seed is another run beside it: of the same world, drawn and trained by other dice.
    """
    _build(demo_config(draw_world(home, console), seed), home, console)


def run_full_demo(home: Path, console: Console, seed: int = SEED) -> None:
    """The same with every stage, every control and two more benches."""
    world = draw_world(home, console)
    if not (world / "gqa" / "val_balanced_questions.json").is_file():  # what is written last
        write_benches(world, seed=SEED, n_images=N_BENCH_IMAGES)
    _build(full_config(world, seed), home, console)


def _build(config: RunConfig, home: Path, console: Console) -> None:
    print_summary(build_and_publish(config, home, console), console)


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


def full_config(world: Path, seed: int = SEED) -> RunConfig:
    """The demo's run with the sizes of `FULL_SIZES`, on What'sUp and GQA as well."""
    demo = demo_config(world, seed)
    benches = {"whatsup_folder": world / "whatsup", "gqa_folder": world / "gqa"}
    data = demo.data.model_copy(update=benches)
    return demo.model_copy(update={"name": "tiny-world-full", "data": data, **FULL_SIZES})
