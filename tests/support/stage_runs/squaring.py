"""A process that runs one stage, whose shards take a while: `python squaring.py RUN`."""

import sys
import time
from pathlib import Path

import numpy as np

from feature_atlas.etl.run_folder import shards
from feature_atlas.etl.run_folder.artifacts import StageOutput, run_stage

NUMBERS = list(range(12))
SECONDS = 0.3


def square(run: Path, number: int) -> np.ndarray:
    with (run / "begun.txt").open("a") as stream:
        stream.write(f"{number}\n")
    time.sleep(SECONDS)
    return np.array([number**2])


def body(output: StageOutput) -> None:
    output.arrays("squares", x=np.concatenate(list(output.in_shards(square, NUMBERS))))


if __name__ == "__main__":
    shards._function = lambda name: square  # of this script, not of the package
    run_stage(Path(sys.argv[1]), "squares", params={}, reads=[], body=body)
