"""A whole build on a pretended device: no mix-up of devices, and no sum in a chance order."""

from pathlib import Path
from typing import Any

import pytest
import torch
from families import TRIED, family, prompts
from pretended_device import DEVICE, pretended_device
from stage_runs.some_layers import of_layers

from feature_atlas.etl.commands.demo import demo_config
from feature_atlas.etl.commands.home import configure_libraries
from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.pipeline import run_method
from feature_atlas.etl.rehearsal.small_config import rehearsal_config
from feature_atlas.etl.run_folder.artifacts import read_json, read_rows
from feature_atlas.etl.study import open_run, open_study
from feature_atlas.vlm.forward_check import check_forward

FILLED = {
    "neutral_prompt": "neutral_prompt",
    "ablation": "ablation",
    "group_ablation": "ablation_group",
    "steering": "steering",
    "head_attribution": "head_attribution",
    "exact_patch": "head_exact",
    "head_knockout": "head_knockout",
    "overlay": "overlay",
    "auto_interp": "auto_interp",
}
"""Stages that have nothing to do where no feature was chosen, and a table of each."""


def tiniest(world: Path, device: str) -> RunConfig:
    """As a rehearsal, with even less of what takes kernels; every stage has something to do."""
    small = rehearsal_config(of_layers(demo_config(world), (0, 4)))

    def less(section: str, **settings: Any) -> Any:
        return getattr(small, section).model_copy(update=settings)

    spatial = {"spatial": small.harvest.definitions["spatial"]}
    return small.model_copy(
        update={
            "device": device,
            "data": less("data", n_base=64, n_vsr=64, n_adapt=32),
            "harvest": less(
                "harvest", skills=("spatial",), definitions=spatial, encoder="certified"
            ),
            "selection": less("selection", cosine_quantile=0.05),
            "neutral": less("neutral", n_reply_tokens=2),
            "ablation": less("ablation", n_vqa=4, n_controls=1, n_bootstrap=10),
            "group_ablation": less("group_ablation", by=("layer",)),
            "steering": less("steering", alphas=(1.0,)),
            "exact_patch": less("exact_patch", n_full_features=0),
        }
    )


def built(config: RunConfig, home: Path) -> Path:
    try:
        run = open_run(config, home)
        run_method(run, lambda body, *parts: body(*parts))
        return run
    finally:
        open_study.cache_clear()


@pytest.mark.slow
def test_no_stage_mixes_devices_or_adds_floats_in_a_chance_order(
    small_world, atlas_home, tmp_path, monkeypatch
):
    configure_libraries(atlas_home)
    monkeypatch.setattr("feature_atlas.etl.study.require_device", lambda *_: "a pretended one")

    with pretended_device() as mistakes:
        run = built(tiniest(small_world, DEVICE), tmp_path)

    assert not mistakes, "\n".join(map(str, mistakes))
    assert all(read_rows(run, stage, table) for stage, table in FILLED.items())


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_computes_the_same_bytes_each_time(small_world, atlas_home, tmp_path):
    configure_libraries(atlas_home)
    config = tiniest(small_world, "cuda")

    once, again = (hashes(built(config, tmp_path / name)) for name in ("once", "again"))

    assert once == again


def hashes(run: Path) -> dict[str, str]:
    """Of every file that the stages left."""
    files = [f for done in run.glob("*/stage.json") for f in read_json(done)["files"]]
    return {f["path"]: f["sha256"] for f in files}


@pytest.mark.parametrize("name", TRIED)
def test_no_family_mixes_devices(name):
    made = family(name)
    batch = prompts(made)

    with pretended_device() as mistakes:
        check_forward(made.model.to(DEVICE), batch.to(DEVICE), [0])

    assert not mistakes, "\n".join(map(str, mistakes))
