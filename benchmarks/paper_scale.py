"""Every stage at the paper's true widths: seconds, rates, peaks, and what the paper's run takes.

    python benchmarks/paper_scale.py --layers 2 --pictures 4 --pixels 112          (a CPU)
    python benchmarks/paper_scale.py --layers 4 --pictures 100 --device cuda       (a card)

The stages are those of a build, run one after another in this process on random weights; nothing
is published. Achieved operations are the products that torch ran, over the measured rate of one
large product in the same kind of number. The paper's hours are its operations by arithmetic (as
`feature-atlas doctor` counts them) at the share of the rate that the stage reached here, or at
`ASSUMED` where it did not run; its memory is that of `doctor`'s plan. `--layers 0` prints these two
alone.
"""

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from stage_cost import GIGA, Cost, copy_speed, measured
from true_widths import Scale, Widths, paper_config, write_paper

from feature_atlas.etl.config.causes import (
    AblationConfig,
    AttributionConfig,
    ExactPatchConfig,
    GroupAblationConfig,
    InterpConfig,
    IntruderConfig,
    KnockoutConfig,
    OutputScoreConfig,
    SteeringConfig,
    SupervisedConfig,
)
from feature_atlas.etl.config.features import (
    AdaptConfig,
    HarvestConfig,
    NeutralConfig,
    SelectionConfig,
)
from feature_atlas.etl.config.run_config import RunConfig, load_config
from feature_atlas.etl.opening.costs import work_of
from feature_atlas.etl.opening.machine import product_speed, rounded_speed
from feature_atlas.etl.opening.memory_plan import memory_plan
from feature_atlas.etl.opening.sizes import Sizes
from feature_atlas.etl.pipeline import run_method
from feature_atlas.etl.study import open_run

PAPERS = Path(__file__).parents[1] / "configs" / "llava_more.yaml"
PAPER = Sizes(
    text_parameters=8_030_000_000,
    vision_parameters=320_000_000,
    depth=32,
    n_heads=32,
    n_layers=32,
    d_model=4096,
    d_sae=32_768,
    vocabulary=128_257,
    image_tokens=576,
    text_tokens=20,
    prompt_tokens=656,
    n_adapt=50_000,
    n_base=50_000,
    n_train_statements=7_680,
    n_test_statements=2_195,
    n_pictures=70_000,
)
"""LLaVA-MORE 8B with Llama Scope, VQAv2 and VSR's random split."""
FEW = {
    "group_ablation": GroupAblationConfig(n_statements=4, n_vqa=4, n_controls=1, max_features=4),
    "steering": SteeringConfig(max_features=1, n_statements=4),
    "supervised": SupervisedConfig(max_relations=1, n_train=8, n_shuffled=1),
    "intruder": IntruderConfig(n_trials=2, max_features=4),
    "output_score": OutputScoreConfig(n_pictures=2, max_features=2, n_controls=1),
}
"""Of what some stages look at, also of those that are off unless asked for."""
ASSUMED = 0.5
"""Share of the rate, of a stage that was not measured."""
CARDS = (80, 24)
"""Memory in GB."""


def main() -> None:
    """Write the world, run every stage, print the table."""
    asked = _arguments()
    logging.basicConfig(level=logging.INFO)
    rates = _rates(asked.device)
    print(json.dumps({"device": _device(asked.device), **rates}), flush=True)
    costs = measure(asked) if asked.layers else []
    print(rows_of(costs, rates))
    print(paper_hours(costs, rates))
    for gigabytes in CARDS:
        print(paper_memory(gigabytes))
    if asked.output:
        asked.output.write_text(
            json.dumps({"rates": rates, "costs": [c._asdict() for c in costs]}, indent=1),
            encoding="utf-8",
        )


def measure(asked: argparse.Namespace) -> list[Cost]:
    """Every stage in a world of its own, which goes when done."""
    scale = Scale(
        asked.layers, asked.pictures, asked.vsr, asked.pixels, asked.device, Widths(asked.width)
    )
    with tempfile.TemporaryDirectory(dir=asked.scratch) as place:
        folder = Path(place)
        began = time.perf_counter()
        write_paper(folder, scale)
        print(f"wrote the world in {time.perf_counter() - began:.0f} s", flush=True)
        return run_stages(small(folder, scale, asked), folder / "home", asked)


def small(folder: Path, scale: Scale, asked: argparse.Namespace) -> RunConfig:
    """True widths, few samples: loosened so that some features go through every stage."""
    return paper_config(
        folder,
        scale,
        asked.batch_size,
        adapt=AdaptConfig(
            n_tokens=asked.steps * asked.train_batch,
            batch_size=asked.train_batch,
            buffer_size=2 * asked.train_batch,
            n_held_out=256,
            n_evaluations=2,
            regimes=tuple(asked.regimes.split(",")),
        ),
        harvest=HarvestConfig(
            n_control=6 * asked.pictures // 5,
            skills=("spatial",),
            definitions=_skill_of_few(),
            encoder=asked.encoder,
            layers_at_once=asked.layers_at_once,
        ),
        selection=SelectionConfig(
            epsilon=0.0,
            cosine_quantile=0.5,
            max_rotation_q=1.0,
            min_excess_rotation=0.0,
            language_confidence=0.5,
            min_delta_p=1e-9,
            min_odds_ratio=asked.odds_ratio,
            interval="woolf",
            min_fired=asked.min_fired,
            max_q=1.0,
        ),
        neutral=NeutralConfig(
            n_samples=1, n_reply_tokens=asked.reply, min_share=0.01, max_mean_share=1.0
        ),
        auto_interp=InterpConfig(max_features=4, n_description=2, n_validation=2),
        head_attribution=AttributionConfig(
            n_samples=4,
            max_features=asked.features,
            n_mean_images=asked.pictures,
            samples_at_once=asked.samples_at_once,
        ),
        exact_patch=ExactPatchConfig(n_top=3, n_random=1, n_samples=3, n_full_features=1),
        head_knockout=KnockoutConfig(max_features=1, n_heads=2, n_controls=1),
        ablation=AblationConfig(
            max_features=asked.features,
            n_screened=1,
            n_screen=4,
            n_controls=2,
            n_random_controls=1,
            n_direction_controls=1,
            n_other=8,
            n_vqa=8,
            n_compared=1,
            n_bootstrap=50,
        ),
        **FEW,
    )


def _skill_of_few() -> dict[str, Any]:
    """The shipped spatial skill, also where few questions ask for it."""
    spatial = HarvestConfig(skills=("spatial",)).definitions["spatial"]
    return {"spatial": spatial | {"min_questions": 1, "ids": ()}}


def run_stages(config: RunConfig, home: Path, asked: argparse.Namespace) -> list[Cost]:
    """Every stage in its order; a stage that fails is told and ends the run."""
    home.mkdir()
    costs: list[Cost] = []
    run = open_run(config, home)

    def stage(body: Callable[..., Any], run: Path, *parts: str | int) -> None:
        name = "-".join([body.__name__.removeprefix("run_"), *map(str, parts)])
        costs.append(measured(name, run, lambda: body(run, *parts), asked.device))
        print(rows_of(costs[-1:], None), flush=True)

    try:
        run_method(run, stage)
    except Exception:
        logging.exception("the run stopped")
    return costs


def rows_of(costs: list[Cost], rates: dict[str, float] | None) -> str:
    """A table in Markdown, one stage a line."""
    lines = []
    if rates is not None:
        lines = [
            "| stage | s | CPU s | TFLOP bf16 | TFLOP f32 | of the rate | main GB | card GB | MB |",
            "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
        ]
    for cost in costs:
        of = {name: n / 1e12 for name, n in cost.operations.items()}
        share = f"{_least(cost, rates) / cost.seconds:.0%}" if rates else "-"
        lines.append(
            f"| {cost.stage} | {cost.seconds:.1f} | {cost.cpu_seconds:.1f} "
            f"| {of.get('bfloat16', 0):.1f} | {of.get('float32', 0):.1f} | {share} "
            f"| {cost.main_memory / GIGA:.1f} | {cost.device_memory / GIGA:.1f} "
            f"| {cost.written / 1e6:.0f} |"
        )
    return "\n".join(lines)


def paper_hours(costs: list[Cost], rates: dict[str, float]) -> str:
    """The paper's run at the shares of the rates that stages reached here, in Markdown."""
    lines = [
        "| stage | PFLOP model | float32 | TF32 | share of the rate | hours |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    total = 0.0
    for work in work_of(load_config(PAPERS), PAPER):
        of = [c for c in costs if c.stage.startswith(work.stage) and c.operations]
        share = sum(_least(c, rates) for c in of) / sum(c.seconds for c in of) if of else ASSUMED
        at_best = (
            work.model / rates["bfloat16"]
            + work.float32 / rates["float32"]
            + work.tf32 / rates["tf32"]
        )
        hours = at_best / share / 3600
        total += hours
        kinds = " | ".join(f"{n / 1e15:.1f}" for n in (work.model, work.float32, work.tf32))
        how = f"{share:.0%}" if of else f"{share:.0%}, assumed"
        lines.append(f"| {work.stage} | {kinds} | {how} | {hours:.2f} |")
    return "\n".join([*lines, f"| all | | | | | {total:.1f} |"])


def paper_memory(gigabytes: int) -> str:
    """What each stage of the paper's run holds on a card, in Markdown."""
    config = load_config(PAPERS)
    head = [f"| {gigabytes} GB: stage | at once | passes | GB |", "|---|---|--:|--:|"]
    lines = [
        f"| {one.stage} | {one.at_once} | {one.n_passes} | {one.total / GIGA:.1f} |"
        for one in memory_plan(config, PAPER, gigabytes * GIGA)
    ]
    return "\n".join([*head, *lines])


def _least(cost: Cost, rates: dict[str, float]) -> float:
    """Seconds that its products would take at the measured rate."""
    trains = cost.stage.startswith("adapt")  # float32 whose factors may be rounded
    of = rates | ({"float32": rates["tf32"]} if trains else {})
    return sum(n / of.get(name, of["float32"]) for name, n in cost.operations.items())


def _rates(device: str) -> dict[str, float]:
    return {
        "float32": product_speed(device, torch.float32),
        "tf32": rounded_speed(device),
        "bfloat16": product_speed(device, torch.bfloat16),
        "copy": copy_speed(device, 2**30 if device.startswith("cuda") else 2**28),
    }


def _device(device: str) -> str:
    is_card = device.startswith("cuda")
    return torch.cuda.get_device_name() if is_card else f"CPU, {torch.get_num_threads()} threads"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument(
        "--width", type=int, default=4096, help="of the residuals: 4096 in the paper"
    )
    parser.add_argument("--pictures", type=int, default=6, help="train and validation, each")
    parser.add_argument("--vsr", type=int, default=30, help="VSR pictures")
    parser.add_argument(
        "--pixels", type=int, default=336, help="a picture's side: 336 in the paper"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch-size", type=int, default=8, help="prompts per forward pass")
    parser.add_argument("--train-batch", type=int, default=256, help="tokens per training step")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--regimes", default="text,image,full,random,refit,language")
    parser.add_argument("--encoder", default="certified")
    parser.add_argument("--layers-at-once", type=int, help="of the harvest; else as many as fit")
    parser.add_argument("--features", type=int, default=4, help="attributed and ablated")
    parser.add_argument("--reply", type=int, default=64, help="tokens of a neutral prompt's reply")
    parser.add_argument("--samples-at-once", type=int, default=2)
    parser.add_argument("--odds-ratio", type=float, default=1.0001)
    parser.add_argument("--min-fired", type=int, default=3)
    parser.add_argument("--scratch", type=Path, help="where the files go")
    parser.add_argument("--output", type=Path, help="JSON of everything measured")
    return parser.parse_args()


if __name__ == "__main__":
    main()
