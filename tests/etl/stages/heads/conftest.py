"""A small study whose heads are looked at, and its world."""

from pathlib import Path

import pytest
from stage_runs.head_study import draw_world, opened, replace_earlier_stages


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_world(tmp_path_factory.mktemp("head-world"))


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_earlier_stages(monkeypatch)


@pytest.fixture
def run(world: Path, tmp_path: Path, replaced: None) -> Path:
    return opened(world, tmp_path)
