"""Runs of the tiny world whose dictionaries are about to be adapted, or have been."""

from pathlib import Path

from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.run_folder.artifacts import read_json
from feature_atlas.etl.stages.dictionary.adapt import adapt_streams, run_adapt
from feature_atlas.etl.stages.vlm.samples_table import run_samples
from feature_atlas.etl.study import Study, open_run, open_study

LAYERS = (1, 4)


def opened(config: RunConfig, home: Path) -> Study:
    """A run's study, with the stage that adaptation reads."""
    run = open_run(config, home)
    run_samples(run)
    return open_study(run)


def adapted(config: RunConfig, home: Path) -> Study:
    """A run whose adaptation is finished."""
    study = opened(config, home)
    for stream in adapt_streams(study):
        run_adapt(study.run, stream)
    return study


def hashes(run: Path, stage: str = "adapt-*") -> dict[str, str]:
    records = [read_json(file) for file in sorted(run.glob(f"{stage}/stage.json"))]
    return {f["path"]: f["sha256"] for record in records for f in record["files"]}
