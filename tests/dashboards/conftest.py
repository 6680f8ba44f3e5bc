"""The pages, pointed at a database; answers cached for one database never reach another."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import streamlit as st
from databases import create_database
from made_up.series import write_series
from run_folder import keep_required_tables, read_rows, write_run_folder
from sqlalchemy import Engine
from streamlit.source_util import PageInfo
from streamlit.testing.v1 import AppTest

import feature_atlas.dashboards
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.models.session import make_engine

APP = Path(feature_atlas.dashboards.__file__).parent / "app.py"


@pytest.fixture
def full_atlas(loaded_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an atlas with one synthetic run; pages and queries read it."""
    yield from _pointed_at(loaded_url, monkeypatch)


@pytest.fixture
def empty_atlas(fresh_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an atlas with a schema and no run; pages and queries read it."""
    yield from _pointed_at(fresh_url, monkeypatch)


@pytest.fixture
def sparse_atlas(fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an atlas whose one run has the tables alone that a run must have."""
    engine = make_engine(fresh_url)
    ingest(keep_required_tables(write_run_folder(tmp_path)), engine)
    engine.dispose()
    yield from _pointed_at(fresh_url, monkeypatch)


@pytest.fixture
def atlas(published_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An atlas of the test's own, to which the pages write as Ada."""
    engine = published_engine
    monkeypatch.setenv("ATLAS_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("ATLAS_REVIEWER", "Ada")
    st.cache_data.clear()
    yield engine
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture(scope="session")
def series_folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Run folders of `write_series`: three runs of one shape, and one of another."""
    return write_series(tmp_path_factory.mktemp("series"))


@pytest.fixture(scope="session")
def series_url(postgres_url: str, template_database: str, series_folders: list[Path]) -> str:
    """Address of a database with these runs, numbered from 1; only read it."""
    url = create_database(postgres_url, "series", template_database)
    engine = make_engine(url)
    for folder in series_folders:
        ingest(folder, engine)
    engine.dispose()
    return url


@pytest.fixture
def series_atlas(series_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an atlas with several runs; pages and queries read it."""
    yield from _pointed_at(series_url, monkeypatch)


@pytest.fixture
def written(run_folder: Path) -> "Written":
    """What the run folder holds, to compare with."""
    return Written(run_folder)


class Written:
    """Tables of the run folder as frames."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, table: str, **where: object) -> pd.DataFrame:
        rows = read_rows(self.folder, table).to_pandas()
        for column, value in where.items():
            rows = rows[rows[column] == value]
        return rows.reset_index(drop=True)


@pytest.fixture(scope="session")
def known_pages() -> dict[str, PageInfo]:
    """What an app learns of its pages from its first run; here it has no database to show."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATLAS_DATABASE_URL", "postgresql://nowhere.invalid/atlas")
        return AppTest.from_file(str(APP), default_timeout=120).run()._registered_pages


@pytest.fixture
def open_page(known_pages: dict[str, PageInfo]) -> Callable[..., AppTest]:
    """Runs one page as a browser would: `open_page("features/feature.py", layer=1, feature=2)`."""

    def open_page(page: str = "overview.py", **address: object) -> AppTest:
        app = AppTest.from_file(str(APP), default_timeout=120)
        app._registered_pages = known_pages
        app.switch_page(page)
        for name, value in address.items():
            app.query_params[name] = str(value)
        return app.run()

    return open_page


def _pointed_at(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("ATLAS_DATABASE_URL", url)
    st.cache_data.clear()
    yield url
    st.cache_data.clear()
    st.cache_resource.clear()
