"""A short adaptation on the shipped tiny world, made once for all tests here."""

from pathlib import Path

import pytest
from stage_runs.adapted_run import LAYERS, adapted
from stage_runs.some_layers import of_layers

from feature_atlas.etl.commands.demo import demo_config
from feature_atlas.etl.config.features import AdaptConfig
from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.study import Study


@pytest.fixture(scope="session")
def config(small_world: Path) -> RunConfig:
    return of_layers(demo_config(small_world), LAYERS).model_copy(
        update={
            "name": "adapted",
            "batch_size": 16,
            "adapt": AdaptConfig(
                n_tokens=3072,
                batch_size=256,
                buffer_size=1024,
                n_evaluations=3,
                n_held_out=300,
                keep="all",
            ),
        }
    )


@pytest.fixture(scope="session")
def study(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return adapted(config, tmp_path_factory.mktemp("adapted"))
