"""A process that runs one stage, whose shards take a while."""

import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

from feature_atlas.etl.run_folder import shards
from feature_atlas.etl.run_folder.artifacts import StageOutput, run_stage
from stage_runs.starter import STARTER

NUMBERS = list(range(12))
SECONDS = 0.3


def start(run: Path, said: Path) -> BaseProcess:
    """The stage on this run, in a process that writes what it says to a file."""
    process = STARTER.Process(target=_square_all, args=(run, said))
    process.start()
    return process


def _square_all(run: Path, said: Path) -> None:
    shards._function = lambda name: square  # of this file, not of the package
    with said.open("w") as sys.stdout:
        run_stage(run, "squares", params={}, reads=[], body=body)


def square(run: Path, number: int) -> np.ndarray:
    with (run / "begun.txt").open("a") as stream:
        stream.write(f"{number}\n")
    time.sleep(SECONDS)
    return np.array([number**2])


def body(output: StageOutput) -> None:
    output.arrays("squares", x=np.concatenate(list(output.in_shards(square, NUMBERS))))
