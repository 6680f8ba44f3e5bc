"""The stage `auto_interp` on made-up features, against an endpoint; as a program, to be killed.

python interp_stage.py RUN_FOLDER URL
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bare_run import write_inputs, write_part
from numbered_sample import sample
from PIL import Image

from feature_atlas.etl.config.causes import EndpointConfig, InterpConfig
from feature_atlas.etl.run_folder.artifacts import Stage, run_stage
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.stages.meaning.auto_interp import _ask_endpoint
from feature_atlas.etl.stages.meaning.interp_material import Material, Materials
from feature_atlas.meaning.auto_interp import Written
from feature_atlas.meaning.interp_samples import Sample, Scored

WORDS = ("above", "below", "left of", "right of", "behind", "near")
N_WITH_HEADS = 4


class Album:
    """Draws a picture whose colour is its number, and overlays of the head's."""

    def pictured(self, samples: Sequence[Sample], heads: Sequence[tuple[int, int]]) -> list[Sample]:
        return [
            one._replace(
                image=Image.new("RGB", (8, 8), (one.image_id % 256, 0, 0)),
                overlays=[Image.new("RGB", (8, 8), (0, 255, 40 * head)) for _, head in heads],
            )
            for one in samples
        ]


def material(word: str, number: int) -> Material:
    """A feature that fires on one word and writes it; the first one writes nothing."""
    other = WORDS[(number + 1) % len(WORDS)]
    first = 1000 * number
    return Material(
        Feature(0, number),
        [sample(first + i, word) for i in range(3)],
        Scored(
            [sample(first + 10 + i, word) for i in range(4)],
            [sample(first + 20 + i, other) for i in range(4)],
            1,
            1,
        ),
        Written([f" {word}"], [f" {other}"]) if number else None,
    )


def run_interp(run: Path, url: str, *, endpoint: Any = None, **config: Any) -> Stage:
    """Run the stage; what a real run would have measured before is made up."""
    os.environ.setdefault("OPENAI_API_KEY", "no-key")
    settings = EndpointConfig(base_url=url, n_at_once=3, tokens_per_picture=20, **(endpoint or {}))
    interp = InterpConfig(explainer="openai", model="stub", endpoint=settings, **config)
    study = SimpleNamespace(
        run=run,
        config=SimpleNamespace(
            auto_interp=interp, seed=0, head_attribution=SimpleNamespace(n_overlay_heads=2)
        ),
    )
    run.mkdir(parents=True, exist_ok=True)
    write_inputs(run)
    run_stage(run, "overlay", params={}, reads=[], body=write_heads)
    gathered = Materials([material(word, n) for n, word in enumerate(WORDS)], {}, [])
    return run_stage(
        run,
        "auto_interp",
        params=interp.model_dump(exclude={"endpoint"}),
        reads=["overlay"],
        body=lambda output: _ask_endpoint(output, study, Album(), gathered),
    )


def write_heads(output: Any) -> None:
    """Top heads of the first features, and a bottom head that nobody should see."""
    rows = [(n, kind, head) for n in range(N_WITH_HEADS)
            for kind, head in (("top", 3), ("bottom", 1), ("top", 5), ("top", 3))]  # fmt: skip
    write_part(
        output,
        "overlay",
        {
            "layer": [0] * len(rows),
            "feature": [n for n, _, _ in rows],
            "kind": [kind for _, kind, _ in rows],
            "head_layer": [0] * len(rows),
            "head": [head for *_, head in rows],
        },
    )


if __name__ == "__main__":
    run_interp(Path(sys.argv[1]), sys.argv[2])
