"""The whole pipeline on a handful of samples, in a folder that is thrown away.

Every stage, then the loader's verification, but no publication: what would stop a run after days
stops here after minutes, with the name of its stage.
"""

import gc
import logging
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from rich.console import Console

from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.pipeline import run_method
from feature_atlas.etl.rehearsal.small_config import rehearsal_config
from feature_atlas.etl.run_folder.artifacts import Stage, read_rows
from feature_atlas.etl.run_folder.manifest import read_run_manifest
from feature_atlas.etl.run_folder.manifest_writing import write_run_manifest
from feature_atlas.etl.stages.features.feature_choice import chosen_features
from feature_atlas.etl.study import open_run, open_study
from feature_atlas.etl.warehouse.progress import silent
from feature_atlas.etl.warehouse.verification import verify

log = logging.getLogger(__name__)

LONG = 30 * 60
"""Seconds, by arithmetic, from which on a build is rehearsed first."""


def rehearse(config: RunConfig, home: Path, console: Console) -> None:
    """Run every stage of a small copy of a configuration and verify what it leaves."""
    home.mkdir(parents=True, exist_ok=True)
    small = rehearsal_config(config)
    dropped = sorted(set(config.harvest.skills) - set(small.harvest.skills))
    if dropped:
        console.print(f"rehearsal: no question asks for {', '.join(dropped)}: left out")
    with TemporaryDirectory(prefix="rehearsal-", dir=home) as folder:
        run = open_run(small, Path(folder))
        try:
            run_method(run, lambda *stage: _one_stage(console, *stage))
            _verify(write_run_manifest(run))
            _say_what_was_not_reached(run, console)
        finally:
            _forget(run)


def _one_stage(console: Console, body: Callable[..., Stage], run: Path, *parts: str | int) -> None:
    name = "-".join([body.__name__.removeprefix("run_"), *map(str, parts)])
    try:
        done = body(run, *parts)
    except Exception as error:
        raise RuntimeError(
            f"the rehearsal stopped in stage {name}: {type(error).__name__}: {error}"
        ) from error
    console.print(f"rehearsal: {done.name}, {done.seconds:.1f} s", highlight=False)


def _verify(run: Path) -> None:
    try:
        verify(run, read_run_manifest(run), silent)
    except (ValueError, OSError) as error:
        raise RuntimeError(
            f"the rehearsal ran through, but its run would not be published: {error}"
        ) from error


def _say_what_was_not_reached(run: Path, console: Console) -> None:
    """Stages after the choice of features have nothing to do when there are none."""
    study = open_study(run)
    for stage, table in (
        *(("ablation", "ablation"), ("head_attribution", "head_attribution")),
        *(("overlay", "overlay"), ("auto_interp", "auto_interp")),
    ):
        if not read_rows(run, stage, table):
            console.print(
                f"rehearsal: stage {stage} had nothing to do ({len(chosen_features(study, 10**9))} "
                "features were chosen): it was not rehearsed"
            )


def _forget(run: Path) -> None:
    """The models of the rehearsal leave the memory: those of the run come."""
    open_study(run).close()
    open_study.cache_clear()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
