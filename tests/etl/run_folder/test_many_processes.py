"""Processes that run one stage together, and are killed."""

import time
from pathlib import Path
from random import Random

import pytest
from bare_run import write_inputs
from stage_runs import squaring
from stage_runs.squaring import start

from feature_atlas.etl.run_folder.artifacts import read_arrays, require_stage

pytestmark = pytest.mark.slow
EXPECTED = [number**2 for number in squaring.NUMBERS]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    run.mkdir()
    write_inputs(run)
    return run


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


def test_two_share_the_shards(run, tmp_path):
    said = [tmp_path / "one.txt", tmp_path / "other.txt"]
    both = [start(run, file) for file in said]

    for process in both:
        process.join()

    assert [process.exitcode for process in both] == [0, 0]
    require_whole(run, n_killed=0)
    waiting = "waiting for stage squares, which process"
    assert any(waiting in file.read_text() for file in said)


@pytest.mark.parametrize("which", ["leader", "helper"])
def test_one_goes_on_when_the_other_is_killed(which, run, tmp_path):
    leader = start(run, tmp_path / "leader.txt")
    wait_until_begun(run, 1)
    helper = start(run, tmp_path / "helper.txt")
    wait_until_begun(run, 6)
    killed, left = (leader, helper) if which == "leader" else (helper, leader)

    killed.kill()
    killed.join()
    left.join()

    assert left.exitcode == 0
    require_whole(run, n_killed=1)


def test_a_stage_that_is_killed_again_and_again_ends_the_same(run, tmp_path):
    dice, n_killed = Random(), 0
    for _ in range(3):
        process = start(run, tmp_path / "killed.txt")
        wait_until_begun(run, len(begun(run)) + 1)
        time.sleep(dice.uniform(0, 3 * squaring.SECONDS))
        process.kill()
        process.join()
        n_killed += 1

    last = start(run, tmp_path / "last.txt")
    last.join()

    assert last.exitcode == 0
    require_whole(run, n_killed)
    assert require_stage(run, "squares")["warnings"] == []
