"""A stage that is killed goes on to the same bytes."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from stage_runs.adapted_run import hashes, opened

from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.stages.dictionary import residual_pass
from feature_atlas.etl.stages.dictionary.adapt import run_adapt
from feature_atlas.etl.stages.dictionary.residual_store import ResidualWriter
from feature_atlas.etl.stages.dictionary.unfinished import Unfinished
from feature_atlas.etl.study import Study

STAGE = "adapt-pictures"


class Killed(Exception):
    """In the middle of a stage."""


def breaking(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, at: int) -> None:
    """The method does its work ``at`` times, and then the process is as good as dead."""
    does, n_done = getattr(owner, method), 0

    def and_die(*args, **kwargs):
        nonlocal n_done
        done = does(*args, **kwargs)
        n_done += 1
        if n_done == at:
            raise Killed
        return done

    monkeypatch.setattr(owner, method, and_die)


@pytest.mark.parametrize(
    ("owner", "method", "at"),
    [
        (ResidualWriter, "add_held_out", 1),  # before anything was kept
        (ResidualWriter, "save", 3),  # between two chunks of a pass
        (ResidualWriter, "add", 5),  # in the middle of one: what is behind it is cut off
        (Unfinished, "save_state", 7),  # in the middle of a dictionary
        (Unfinished, "finish", 2),  # between two
        (Unfinished, "finish", 6),  # after all of them
    ],
)
def test_a_stage_that_breaks_off_goes_on_to_the_same_bytes(
    config: RunConfig, study: Study, tmp_path, monkeypatch, owner, method, at
):
    often = {"adapt": config.adapt.model_copy(update={"checkpoint_minutes": 0})}
    broken = opened(config.model_copy(update=often), tmp_path)
    monkeypatch.setattr(residual_pass, "SAVED_EVERY", 2)
    with monkeypatch.context() as patch:
        breaking(patch, owner, method, at)
        with pytest.raises(Killed):
            run_adapt(broken.run, "pictures")
    assert not (broken.run / STAGE / "stage.json").exists()

    run_adapt(broken.run, "pictures")

    assert broken.inputs["config_hash"] == study.inputs["config_hash"]
    assert hashes(broken.run, STAGE) == hashes(study.run, STAGE)
    assert not (broken.run / f"{STAGE}.unfinished").exists()


def test_what_was_done_is_not_done_again(config: RunConfig, tmp_path, monkeypatch):
    broken = opened(config, tmp_path)
    with monkeypatch.context() as patch:
        breaking(patch, Unfinished, "finish", 2)
        with pytest.raises(Killed):
            run_adapt(broken.run, "prompts")
    again = []
    monkeypatch.setattr(ResidualWriter, "add", lambda *_: again.append("a pass"))
    monkeypatch.setattr(Unfinished, "finish", lambda *_: again.append("a training"))

    run_adapt(broken.run, "prompts")

    assert again == []


ADAPT_ONE = """
import sys, time
from pathlib import Path
import torch
torch.set_num_threads(int(sys.argv[3]))
from feature_atlas.etl.stages.dictionary.adapt import run_adapt
from feature_atlas.etl.config.run_config import load_config
from feature_atlas.etl.stages.vlm.samples_table import run_samples
from feature_atlas.etl.study import open_run
from feature_atlas.etl.stages.dictionary.unfinished import Unfinished
save_state = Unfinished.save_state
def save_slowly(*args):
    save_state(*args)
    time.sleep(1)  # the parent kills in this second
Unfinished.save_state = save_slowly
run = open_run(load_config(Path(sys.argv[1])), Path(sys.argv[2]))
run_samples(run)
run_adapt(run, "prompts")
"""


def test_a_process_killed_in_the_middle_goes_on_to_the_same_bytes(
    config: RunConfig, study: Study, tmp_path
):
    often = {"adapt": config.adapt.model_copy(update={"checkpoint_minutes": 0})}
    file = tmp_path / "run.yaml"
    file.write_text(config.model_copy(update=often).model_dump_json())
    arguments = [str(file), str(tmp_path), str(torch.get_num_threads())]
    child = subprocess.Popen([sys.executable, "-c", ADAPT_ONE, *arguments], env=os.environ)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("runs/*/adapt-prompts.unfinished/*.pt"))) == 0:
        assert time.monotonic() < deadline
        assert child.poll() is None, "it finished or failed before it could be killed"
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()

    run = opened(config, tmp_path).run
    assert not (run / "adapt-prompts" / "stage.json").exists()
    run_adapt(run, "prompts")

    assert hashes(run, "adapt-prompts") == hashes(study.run, "adapt-prompts")


def test_what_belongs_to_another_key_is_deleted_and_a_damaged_state_not_used(tmp_path, caplog):
    kept = Unfinished(tmp_path, "adapt-prompts", "key")
    kept.open()
    kept.save_state("text.1", {"n_steps": 3, "weights": torch.arange(5)})
    kept.finish("text.0", lambda folder: (folder / "facts").write_text("all"))

    kept.open()
    assert kept.load_state("text.1")["weights"].tolist() == [0, 1, 2, 3, 4]
    assert kept.load_state("text.2") is None
    assert (kept.finished("text.0") / "facts").read_text() == "all"
    file = tmp_path / "adapt-prompts.unfinished" / "text.1.pt"
    file.write_bytes(file.read_bytes()[:-100])
    assert kept.load_state("text.1") is None
    assert "cannot be read" in caplog.text
    other = Unfinished(tmp_path, "adapt-prompts", "another")
    other.open()
    assert other.finished("text.0") is None
    other.remove()
    assert not list(tmp_path.iterdir())
