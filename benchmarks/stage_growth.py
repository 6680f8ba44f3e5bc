"""How each stage grows with tokens and with layers: seconds and peak main memory.

    python benchmarks/stage_growth.py                 (width 512: about an hour on one CPU core)
    python benchmarks/stage_growth.py --width 512 --tokens 1 --layers-at-once 2

The second measures layers alone, two of which are held together: as many as fit the machine would
be all of these.

Every point is a run of `paper_scale.py` in a process of its own, so that no peak is another run's.
Tokens grow by pictures, statements and training steps together; layers with the fewest tokens.
Memory should be flat in both, seconds linear at the most: the last columns say the quotients.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TOKENS, LAYERS = (1, 4, 16), (2, 4, 8)
PICTURES, STATEMENT_PICTURES, STEPS = 4, 30, 8
"""Of the smallest run."""


def main() -> None:
    """Measure every point and print two tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--width", type=int, default=512, help="of the residuals")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS, help="times the fewest")
    parser.add_argument("--layers-at-once", type=int, help="of the harvest; else as many as fit")
    asked = parser.parse_args()
    by_tokens = {f"{n} x": costs(asked, LAYERS[0], n) for n in asked.tokens}
    print(table(by_tokens, asked.tokens), flush=True)
    smallest = next(iter(by_tokens.values()))
    by_layers = {
        f"{n} layers": smallest if n == LAYERS[0] else costs(asked, n, asked.tokens[0])
        for n in LAYERS
    }
    print(table(by_layers, LAYERS))


def costs(asked: argparse.Namespace, layers: int, times: int) -> dict[str, tuple[float, float]]:
    """Seconds and peak in MB of every stage of one run; a stage's parts are summed."""
    with tempfile.TemporaryDirectory() as place:
        output = Path(place, "costs.json")
        subprocess.run(
            [
                sys.executable,
                str(Path(__file__).with_name("paper_scale.py")),
                f"--width={asked.width}",
                f"--device={asked.device}",
                f"--layers={layers}",
                f"--pictures={PICTURES * times}",
                f"--vsr={STATEMENT_PICTURES * times}",
                f"--steps={STEPS * times}",
                "--pixels=112",
                f"--scratch={place}",
                f"--output={output}",
                *([f"--layers-at-once={asked.layers_at_once}"] if asked.layers_at_once else []),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return _by_stage(json.loads(output.read_text(encoding="utf-8"))["costs"])


def _by_stage(parts: list[dict[str, Any]]) -> dict[str, tuple[float, float]]:
    seconds: defaultdict[str, float] = defaultdict(float)
    peak: defaultdict[str, float] = defaultdict(float)
    for part in parts:
        stage = part["stage"].split("-")[0]
        seconds[stage] += part["cpu_seconds"]
        peak[stage] = max(peak[stage], part["main_memory"] / 1e6)
    return {stage: (seconds[stage], peak[stage]) for stage in seconds}


def table(points: dict[str, dict[str, tuple[float, float]]], sizes: Sequence[int]) -> str:
    """A stage a line: processor seconds and MB at each point, and last over first."""
    last, first = list(points.values())[-1], next(iter(points.values()))
    head = [f"CPU s, {name}" for name in points] + [f"MB, {name}" for name in points]
    more = sizes[-1] // sizes[0]
    lines = [
        f"| stage | {' | '.join(head)} | seconds x (of {more}) | MB x |",
        "|---|" + "--:|" * (len(head) + 2),
    ]
    for stage in first:
        cells = [f"{of[stage][0]:.1f}" for of in points.values()]
        cells += [f"{of[stage][1]:.0f}" for of in points.values()]
        cells += [f"{last[stage][i] / max(first[stage][i], 1e-9):.2f}" for i in (0, 1)]
        lines.append(f"| {stage} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
