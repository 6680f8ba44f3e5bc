"""A training that is killed goes on to the same bytes."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from stage_runs.adapted_run import hashes, opened

from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.stages.dictionary.adapt import run_adapt
from feature_atlas.etl.stages.dictionary.adapt_stream import ActivationStream
from feature_atlas.etl.stages.dictionary.training_state import TrainingState
from feature_atlas.etl.study import Study


def test_one_regime_at_a_time_gives_the_same_bytes(config: RunConfig, study: Study, tmp_path):
    single = config.model_copy(
        update={"adapt": config.adapt.model_copy(update={"regimes_at_once": 1})}
    )
    again = opened(single, tmp_path)

    run_adapt(again.run, "prompts", 1)

    assert again.inputs["config_hash"] == study.inputs["config_hash"]
    assert hashes(again.run, "adapt-prompts-1") == hashes(study.run, "adapt-prompts-1")


class Killed(Exception):
    """In the middle of a training."""


@pytest.mark.parametrize("at_once", [None, 3])
def test_a_stage_that_breaks_off_goes_on_to_the_same_bytes(
    config: RunConfig, study: Study, tmp_path, monkeypatch, at_once
):
    update = {"adapt": config.adapt.model_copy(update={"regimes_at_once": at_once})}
    broken = opened(config.model_copy(update=update), tmp_path)
    passes, save, n_saved, begun_at = ActivationStream.passes, TrainingState.save, 0, []

    def noted(source, n_skipped=0):
        begun_at.append(n_skipped)
        return passes(source, n_skipped)

    def save_and_die(state, part, content):
        nonlocal n_saved
        save(state, part, content)
        n_saved += 1
        if n_saved == 3:
            raise Killed

    monkeypatch.setattr(ActivationStream, "passes", noted)
    monkeypatch.setattr(TrainingState, "save", save_and_die)
    with pytest.raises(Killed):
        run_adapt(broken.run, "prompts", 1)
    assert begun_at == [0]
    assert not (broken.run / "adapt-prompts-1" / "stage.json").exists()
    assert list((broken.run / "adapt-prompts-1.unfinished").glob("*.pt"))
    monkeypatch.setattr(TrainingState, "save", save)

    run_adapt(broken.run, "prompts", 1)

    assert hashes(broken.run, "adapt-prompts-1") == hashes(study.run, "adapt-prompts-1")
    assert not (broken.run / "adapt-prompts-1.unfinished").exists()
    assert begun_at[1] > 0, "it began again instead of going on"
    assert begun_at[2:] == ([] if at_once is None else [0])  # the last regime's turn


ADAPT_ONE = """
import sys, time
from pathlib import Path
import torch
torch.set_num_threads(int(sys.argv[3]))
from feature_atlas.etl.stages.dictionary.adapt import run_adapt
from feature_atlas.etl.config.run_config import load_config
from feature_atlas.etl.stages.vlm.samples_table import run_samples
from feature_atlas.etl.study import open_run
from feature_atlas.etl.stages.dictionary.training_state import TrainingState
save = TrainingState.save
def save_slowly(*args):
    save(*args)
    time.sleep(1)  # the parent kills in this second
TrainingState.save = save_slowly
run = open_run(load_config(Path(sys.argv[1])), Path(sys.argv[2]))
run_samples(run)
run_adapt(run, "prompts", 1)
"""


def test_a_process_killed_in_the_middle_goes_on_to_the_same_bytes(
    config: RunConfig, study: Study, tmp_path
):
    file = tmp_path / "run.yaml"
    file.write_text(config.model_dump_json())
    arguments = [str(file), str(tmp_path), str(torch.get_num_threads())]
    child = subprocess.Popen([sys.executable, "-c", ADAPT_ONE, *arguments], env=os.environ)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("runs/*/adapt-prompts-1.unfinished/*.pt"))) == 0:
        assert time.monotonic() < deadline
        assert child.poll() is None, "it finished or failed before it could be killed"
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()

    run = opened(config, tmp_path).run
    assert not (run / "adapt-prompts-1" / "stage.json").exists()
    run_adapt(run, "prompts", 1)

    assert hashes(run, "adapt-prompts-1") == hashes(study.run, "adapt-prompts-1")


def test_a_state_of_other_parameters_or_a_damaged_one_is_not_used(tmp_path, caplog):
    kept = TrainingState(tmp_path, "adapt-prompts-0", "key")
    kept.save(0, {"n_passes": 3, "weights": {1: torch.arange(5)}})

    assert kept.load(0)["weights"][1].tolist() == [0, 1, 2, 3, 4]
    assert kept.load(1) is None
    assert TrainingState(tmp_path, "adapt-prompts-0", "another").load(0) is None
    file = next(tmp_path.glob("adapt-prompts-0.unfinished/*.pt"))
    file.write_bytes(file.read_bytes()[:-100])
    assert kept.load(0) is None
    assert "cannot be read" in caplog.text
    kept.remove()
    assert not list(tmp_path.iterdir())
