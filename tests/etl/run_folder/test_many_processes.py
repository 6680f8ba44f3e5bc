"""Processes that run one stage together, and are killed."""

import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
from bare_run import write_inputs
from stage_runs import squaring

from feature_atlas.etl.run_folder.artifacts import read_arrays, require_stage

pytestmark = pytest.mark.slow
EXPECTED = [number**2 for number in squaring.NUMBERS]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_inputs(tmp_path)
    return tmp_path


def start(run: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, squaring.__file__, run], stdout=subprocess.PIPE, text=True
    )


def begun(run: Path) -> list[int]:
    file = run / "begun.txt"
    return [int(line) for line in file.read_text().split()] if file.is_file() else []


def wait_until_begun(run: Path, n: int) -> None:
    until = time.monotonic() + 120
    while len(begun(run)) < n:
        assert time.monotonic() < until
        time.sleep(0.02)


def require_whole(run: Path, n_killed: int) -> None:
    assert read_arrays(run, "squares", "squares")["x"].tolist() == EXPECTED
    assert len(begun(run)) <= len(EXPECTED) + n_killed  # a kill loses one shard
    names = {file.name for file in run.iterdir()}
    assert names == {"inputs.json", "begun.txt", "squares"}


def test_two_share_the_shards(run):
    both = [start(run), start(run)]

    said = [process.communicate()[0] for process in both]

    assert [process.returncode for process in both] == [0, 0]
    require_whole(run, n_killed=0)
    assert any("waiting for stage squares, which process" in one for one in said)


@pytest.mark.parametrize("which", ["leader", "helper"])
def test_one_goes_on_when_the_other_is_killed(which, run):
    leader = start(run)
    wait_until_begun(run, 1)
    helper = start(run)
    wait_until_begun(run, 6)
    killed, left = (leader, helper) if which == "leader" else (helper, leader)

    killed.kill()
    killed.wait()

    assert left.wait() == 0
    require_whole(run, n_killed=1)


def test_a_stage_that_is_killed_again_and_again_ends_the_same(run):
    dice, n_killed = Random(), 0
    for _ in range(3):
        process = start(run)
        wait_until_begun(run, len(begun(run)) + 1)
        time.sleep(dice.uniform(0, 3 * squaring.SECONDS))
        process.kill()
        process.wait()
        n_killed += 1

    assert start(run).wait() == 0
    require_whole(run, n_killed)
    assert require_stage(run, "squares")["warnings"] == []
