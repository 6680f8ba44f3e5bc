"""One small study with everything removed and added, shared by the files that look at it."""

from pathlib import Path

import pytest
from made_up.benches import write_gqa, write_whatsup
from stage_runs.removal_study import RELATION, removal_study

from feature_atlas.etl.study import Study, open_study
from feature_atlas.toy.world import write_world


@pytest.fixture(scope="session")
def removals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder: all its stages done, every feature about one relation."""
    world = tmp_path_factory.mktemp("removal-world")
    write_world(world, seed=9, n_train_images=12, n_val_images=12, n_vsr_images=60)
    write_whatsup(world / "whatsup")
    write_gqa(world / "gqa")
    return removal_study(world, tmp_path_factory.mktemp("removal-home"), lambda *_: RELATION).run


@pytest.fixture
def study(removals: Path) -> Study:
    """The study that stages open."""
    return open_study(removals)
