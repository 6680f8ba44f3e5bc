"""The workshop: a place with SAE runs beside an empty atlas."""

from pathlib import Path

import pytest
from sqlalchemy import Engine
from workshop import Workshop


@pytest.fixture
def workshop(tmp_path: Path, engine: Engine, fresh_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ATLAS_DATABASE_URL", fresh_url)
    return Workshop(tmp_path, engine)
