"""Worker processes make the prompts that a plain loop makes, and none of them outlives its use."""

import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from feature_atlas.etl.config.inputs import VlmConfig
from feature_atlas.etl.inputs import prompt_workers
from feature_atlas.etl.inputs.checkpoints import load_processor
from feature_atlas.etl.inputs.pictures import Size
from feature_atlas.etl.inputs.prompt_maker import PictureFile, PromptJob, PromptMaker
from feature_atlas.etl.inputs.prompt_workers import made_prompts
from feature_atlas.toy.weights import vlm_path
from feature_atlas.vlm.token_roles import PromptBatch, encode_prompts

pytestmark = pytest.mark.slow
SUFFIX = "answer yes or no"
N_JOBS = 6


@pytest.fixture(scope="module")
def maker() -> PromptMaker:
    return PromptMaker(
        load_processor(VlmConfig(path=str(vlm_path()), base="tiny", name="tiny")), SUFFIX
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A picture for each job, no two of one size."""
    folder, noise = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    files = [folder / f"{i}.png" for i in range(N_JOBS)]
    for i, file in enumerate(files):
        shown = noise.integers(0, 255, (64 + i, 80 - i, 3), dtype=np.uint8)
        Image.fromarray(shown).save(file)
    return files


@pytest.fixture
def from_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first batch is made at home, all others by workers."""
    monkeypatch.setattr(prompt_workers, "WORTH_WORKERS", 0.0)


def jobs(files: list[Path]) -> list[PromptJob]:
    """Batches of two questions, the second picture brought to a size; the last without pictures."""
    shown = [(PictureFile(file), PictureFile(file, Size(40, 90))) for file in files]
    asked = [(f"how many shapes {i} ?", "what is it ?") for i in range(N_JOBS)]
    made = [PromptJob(*pair, lacking=pair[1][:1]) for pair in zip(asked, shown, strict=True)]
    return [*made[:-1], PromptJob(asked[-1], None)]


def same(found: PromptBatch, expected: PromptBatch) -> None:
    assert all(torch.equal(*pair) for pair in zip(found[:3], expected[:3], strict=True))
    assert set(found.processed) == set(expected.processed)
    for name, tensor in expected.processed.items():
        assert torch.equal(found.processed[name], tensor)


def wait_until(is_so: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while not is_so() and time.monotonic() < end:
        time.sleep(0.05)
    return is_so()


def test_workers_make_what_a_plain_loop_makes(
    maker: PromptMaker, files: list[Path], from_the_second: None
) -> None:
    asked = [job._replace(with_pixels=job.pictures is not None) for job in jobs(files)]
    for job, found in zip(asked, made_prompts(maker, iter(asked), N_JOBS), strict=True):
        shown = None
        if job.pictures is not None:
            picture = Image.open(job.pictures[0].file)
            shown = [picture, picture.resize((40, 90))]
            alone = encode_prompts(maker.processor, ["?"], [picture])
            same(found.lacking[job.lacking[0]], alone)

        same(found.batch, encode_prompts(maker.processor, job.questions, shown, suffix=SUFFIX))


def test_little_work_starts_nobody(maker: PromptMaker, files: list[Path]) -> None:
    for _ in made_prompts(maker, iter(jobs(files)), N_JOBS):
        assert not multiprocessing.active_children()


def test_a_process_that_may_have_no_children_makes_all(
    maker: PromptMaker, files: list[Path], from_the_second: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing.process.current_process(), "_config", {"daemon": True})
    assert multiprocessing.current_process().daemon

    assert len(list(made_prompts(maker, iter(jobs(files)), N_JOBS))) == N_JOBS


def test_a_broken_picture_is_named_by_a_worker_as_at_home(
    maker: PromptMaker, files: list[Path], tmp_path: Path, from_the_second: None
) -> None:
    broken = tmp_path / "torn.png"
    broken.write_bytes(files[0].read_bytes()[:200])
    asked = [*jobs(files)[:3], PromptJob(("what is it ?",), None, (PictureFile(broken),))]

    with pytest.raises(ValueError, match=r"torn\.png is not a readable image") as at_home:
        maker.make(asked[-1])
    with pytest.raises(ValueError, match=r"torn\.png is not a readable image") as found:
        list(made_prompts(maker, iter(asked), len(asked)))

    assert str(found.value) == str(at_home.value)
    assert wait_until(lambda: not multiprocessing.active_children())


def test_a_stage_that_stops_early_leaves_no_worker(
    maker: PromptMaker, files: list[Path], from_the_second: None
) -> None:
    made = made_prompts(maker, iter(jobs(files)), N_JOBS)
    for _ in range(3):
        next(made)
    assert len(multiprocessing.active_children()) == prompt_workers.n_workers()

    made.close()

    assert wait_until(lambda: not multiprocessing.active_children())


def test_a_worker_that_was_killed_is_no_riddle(
    maker: PromptMaker, files: list[Path], from_the_second: None
) -> None:
    many = jobs(files)[:2] * 20
    made = made_prompts(maker, iter(many), len(many))
    next(made), next(made)
    for worker in multiprocessing.active_children():
        worker.kill()

    with pytest.raises(RuntimeError, match="a process that prepares pictures was ended"):
        list(made)


@pytest.fixture
def build(files: list[Path]) -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of its prompts; it has said which workers it has."""
    script = f"""
import multiprocessing, sys, time
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_prompt_workers import *
prompt_workers.WORTH_WORKERS = 0.0
maker = PromptMaker(load_processor(VlmConfig(path=str(vlm_path()), base="t", name="t")), SUFFIX)
asked = jobs([Path(file) for file in {[str(file) for file in files]}])
made = made_prompts(maker, iter(asked), len(asked))
next(made), next(made)
print(*[child.pid for child in multiprocessing.active_children()], flush=True)
time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()


def test_a_killed_build_leaves_no_worker(build: subprocess.Popen[str]) -> None:
    assert build.stdout is not None
    workers = [Path("/proc") / pid for pid in build.stdout.readline().split()]
    assert workers
    assert all(worker.exists() for worker in workers)

    build.kill()

    assert wait_until(lambda: not any(worker.exists() for worker in workers))
