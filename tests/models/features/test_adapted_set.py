"""The adapted set and its sweep in SQL: the same features and numbers as in numpy, exactly."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from databases import create_database, drop_database
from run_folder import read_rows, replace_rows, write_run_folder
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.features.selection import adapted_set, threshold_sweep
from feature_atlas.models.session import make_engine, make_reader_engine

random = np.random.Generator(np.random.get_bit_generator())  # seeded for each test
LAYERS, D_SAE = (0, 1, 3), 60
EPSILONS = (0.0, 1e-3, float(np.float32(1e-3)), 0.1, 0.25, 5.0)
QUANTILES = (0.0, 0.05, 0.1, 0.25, 0.3, 1 / 3, 0.7, 1.0)


class Measured(NamedTuple):
    """What one run holds, [layer, d_sae]."""

    cosine: np.ndarray
    energy: np.ndarray


def draw() -> Measured:
    """Many ties, features never updated, silent ones, and energies on the thresholds."""
    shape = (len(LAYERS), D_SAE)
    cosine = random.choice([*np.linspace(-1, 1, 21), 0.123, 1], size=shape)
    energy = random.choice([0, 1e-3, 0.1, 0.25, 0.3, 1e-9], size=shape) * random.integers(1, 3)
    return Measured(cosine.astype(np.float32), energy.astype(np.float32))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Measured]:
    return [draw(), draw()]


@pytest.fixture(scope="module")
def url(
    runs: list[Measured],
    postgres_url: str,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    url = create_database(postgres_url, "adapted_set", template_database)
    engine = make_engine(url)
    for seed, measured in enumerate(runs):
        folder = write_run_folder(
            tmp_path_factory.mktemp("run"), seed=seed, layers=LAYERS, d_sae=D_SAE
        )
        put(folder, "decoder_cosine", cosine=measured.cosine)
        put(folder, "visual_energy", energy_question=measured.energy)
        is_adapted = adapted_set(*measured)
        put(
            folder,
            "selection",
            is_adapted=is_adapted,
            is_beyond_null=is_adapted,
            is_beyond_language=np.ones_like(is_adapted),
            is_turned_by_vision=is_adapted,
        )
        ingest(folder, engine)
    engine.dispose()
    yield url
    drop_database(postgres_url, "adapted_set")


def put(folder, table: str, **columns: np.ndarray) -> None:
    """Other values in the first rows of a table: of the regime text."""
    rows = read_rows(folder, table)
    for name, values in columns.items():
        changed = rows[name].to_numpy().copy()
        changed[: values.size] = values.ravel()
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(changed))
    replace_rows(folder, table, rows)


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    """A reader: what people have who write SQL."""
    reader = make_reader_engine(url)
    with reader.connect() as connection:
        yield connection
    reader.dispose()


def found(connection: Connection, epsilon: float, quantile: float, run: int | None) -> np.ndarray:
    """The set as [layer, d_sae]."""
    rows = connection.execute(
        text("SELECT layer, feature FROM atlas.adapted_set(:epsilon, :quantile, :run)"),
        {"epsilon": epsilon, "quantile": quantile, "run": run},
    ).all()
    selected = np.zeros((len(LAYERS), D_SAE), bool)
    for layer, feature in rows:
        selected[LAYERS.index(layer), feature] = True
    assert selected.sum() == len(rows)
    return selected


@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("quantile", QUANTILES)
def test_the_set_is_that_of_numpy(
    epsilon: float, quantile: float, connection: Connection, runs: list[Measured]
):
    for run, measured in enumerate(runs, start=1):
        expected = adapted_set(*measured, epsilon=epsilon, cosine_quantile=quantile)

        np.testing.assert_array_equal(found(connection, epsilon, quantile, run), expected)


def test_without_a_run_it_is_the_current_one(connection: Connection, runs: list[Measured]):
    rows = connection.execute(text("SELECT * FROM atlas.adapted_set(0.001, 0.25)")).all()

    assert len(rows) == adapted_set(*runs[1]).sum()
    assert connection.execute(text("SELECT FROM atlas.adapted_set(0, 1, 99)")).all() == []


def test_the_sweep_is_that_of_numpy(connection: Connection, runs: list[Measured]):
    query = text("SELECT * FROM atlas.selection_sweep(:epsilons, :quantiles, :run)")
    for run, measured in enumerate(runs, start=1):
        values = {"epsilons": list(EPSILONS), "quantiles": [*QUANTILES[::-1], 0.1], "run": run}
        rows = pd.read_sql(query, connection, params=values)

        sweep = threshold_sweep(*measured, EPSILONS, QUANTILES)
        assert rows.epsilon.tolist() == np.repeat(EPSILONS, len(QUANTILES)).tolist()
        assert rows.cosine_quantile.tolist() == list(QUANTILES) * len(EPSILONS)
        assert rows.n_selected.tolist() == sweep.n_selected.ravel().tolist()
        assert rows.jaccard.tolist() == sweep.jaccard.ravel().tolist()
        np.testing.assert_allclose(
            rows.layer_correlation, sweep.layer_correlation.ravel(), atol=1e-12
        )
        assert len(set(rows.n_selected)) > 5


def test_percent_for_a_share_is_refused_with_a_hint(connection: Connection):
    for call in ("adapted_set(0.001, 25)", "selection_sweep(ARRAY[0.1], ARRAY[0.1, 25])"):
        with pytest.raises(DBAPIError, match=r"\(25 % is 0.25\); got 25"):
            connection.execute(text(f"SELECT * FROM atlas.{call}"))
        connection.rollback()


def test_the_view_counts_what_the_controls_leave(loaded_engine):
    with loaded_engine.connect() as connection:
        total = connection.execute(text("SELECT * FROM atlas.adapted_beyond_null")).one()
        layers = connection.execute(text("SELECT * FROM atlas.adapted_beyond_null_by_layer")).all()

    assert total[1:] == (32, 32, 24, 24)
    assert sorted(row[1:] for row in layers) == [(0, 16, 16, 12, 12), (1, 16, 16, 12, 12)]


def test_a_run_without_controls_has_no_counts_of_them_and_no_class(engine, tmp_path):
    folder = write_run_folder(tmp_path)
    controls = ["is_beyond_null", "is_beyond_language", "is_turned_by_vision"]
    replace_rows(folder, "selection", read_rows(folder, "selection").drop(controls))
    cosines = read_rows(folder, "decoder_cosine").slice(0, 4 * 128)  # the paper's four regimes
    tests = ["null_cosine", "excess_rotation", "rotation_p_value", "rotation_q_value"]
    replace_rows(folder, "decoder_cosine", cosines.drop(tests))

    ingest(folder, engine)

    with engine.connect() as connection:
        total = connection.execute(text("SELECT * FROM atlas.adapted_beyond_null")).one()
        known = connection.scalar(
            text("SELECT num_nonnulls(cosine_refit, cosine_language, excess_rotation,"
                 " rotation_q_value, is_turned_by_vision) FROM atlas.feature LIMIT 1")
        )  # fmt: skip
    assert total[1:] == (32, None, None, None)
    assert known == 0


def test_the_wide_row_repeats_the_controls(loaded_engine, run_folder):
    rows = pd.read_sql("SELECT * FROM atlas.feature ORDER BY layer, feature", loaded_engine)

    cosines = read_rows(run_folder, "decoder_cosine").to_pandas()
    for column, regime, source in (
        ("cosine_refit", "refit", "cosine"),
        ("cosine_language", "language", "cosine"),
        ("excess_rotation", "text", "excess_rotation"),
        ("rotation_q_value", "text", "rotation_q_value"),
    ):
        written = cosines[cosines.regime == regime][source].to_numpy()
        np.testing.assert_allclose(rows[column], written, rtol=1e-6)
    selection = read_rows(run_folder, "selection").to_pandas()
    assert rows.is_turned_by_vision.tolist() == selection.is_turned_by_vision.tolist()
