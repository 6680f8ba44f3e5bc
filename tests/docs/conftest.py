"""An atlas with two runs of the same name; the later has other descriptions, and dead features."""

from collections.abc import Callable, Iterator

import pandas as pd
import pytest
from cookbook import RECIPES, Runs, rows_of
from databases import create_database, drop_database
from run_folder import replace_value, write_run_folder
from sqlalchemy import Engine

from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.features.selection import cosine_rank
from feature_atlas.models.session import make_engine, make_reader_engine
from feature_atlas.models.user_sql import run_user_sql


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("cookbook")
    before, after = (write_run_folder(folder, seed=seed, name="cookbook") for seed in (0, 1))
    replace_value(after, "auto_interp", "description", 0, "points at what is above")
    for row in (63, 126, 127):  # feature 63 of layer 0, features 62 and 63 of layer 1
        replace_value(after, "decoder_cosine", "n_firings", row, 0)
        for column in ("energy_image", "firing_rate", "fired_image", "fired_question"):
            replace_value(after, "visual_energy", column, row, 0)
        for part in ("only", "control"):
            replace_value(after, "visual_energy", f"fired_question_{part}", row, 0)
        replace_value(after, "visual_energy", "fired_header", row, 0)
    text = rows_of(after, "decoder_cosine", regime="text").cosine.to_numpy()
    for row, rank in enumerate(cosine_rank(text.reshape(2, 64)).ravel()):
        replace_value(after, "selection", "cosine_rank", row, rank)
    return Runs(before, after)


@pytest.fixture(scope="session")
def reader(postgres_url: str, template_database: str, runs: Runs) -> Iterator[Engine]:
    """A reader of an atlas with both runs."""
    url = create_database(postgres_url, "cookbook", template_database)
    owner = make_engine(url)
    ingest(runs.before, owner)
    ingest(runs.after, owner)
    owner.dispose()
    reader = make_reader_engine(url)
    yield reader
    reader.dispose()
    drop_database(postgres_url, "cookbook")


@pytest.fixture(scope="session")
def ask(reader: Engine) -> Callable[[str], pd.DataFrame]:
    """The answer to a question of the cookbook."""

    def ask(question: str) -> pd.DataFrame:
        recipe = RECIPES[question]
        answer = run_user_sql(reader, recipe.sql, max_rows=1000, values=recipe.values)
        return pd.DataFrame.from_records(answer.rows, columns=answer.names, coerce_float=True)

    return ask
