"""atlas.near against all cosines of a layer, by numpy: symmetric, in the cone, nearest first."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sqlalchemy import Engine, text

from feature_atlas.features.nearest_feature import nearest_features
from feature_atlas.models.session import make_reader_engine

D_SAE, N_STORED = 64, 8

STORE = """
UPDATE atlas.nearest_feature SET features = :features, cosines = :cosines
WHERE run_id = 1 AND layer = 1 AND feature = :feature
"""


@pytest.fixture(scope="module")
def directions() -> np.ndarray:
    """Three directions with many close followers each, more than are stored, and others."""
    generator = np.random.default_rng(5)
    rows = generator.standard_normal((D_SAE, 16))
    for centre in range(3):
        rows[centre * 12 + 1 : centre * 12 + 12] = rows[centre * 12]
    rows += 0.3 * generator.standard_normal(rows.shape)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def reader(loaded_atlas: Engine, directions: np.ndarray) -> Iterator[Engine]:
    nearest = nearest_features(torch.from_numpy(directions), N_STORED)
    with loaded_atlas.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))  # facts are kept
        for feature in range(D_SAE):
            values = {
                "feature": feature,
                "features": nearest.feature[feature].tolist(),
                "cosines": nearest.cosine[feature].tolist(),
            }
            connection.execute(text(STORE), values)
    engine = make_reader_engine(loaded_atlas.url.render_as_string(hide_password=False))
    yield engine
    engine.dispose()


@pytest.fixture
def loaded_atlas(published_engine: Engine) -> Engine:
    return published_engine


def near(engine: Engine, *arguments: object) -> list[tuple[int, int, float]]:
    said = ", ".join(map(str, arguments))
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(f"SELECT * FROM atlas.near({said})"))]


def test_it_finds_the_cone_and_both_are_near_or_neither(reader: Engine, directions: np.ndarray):
    cosines = directions @ directions.T
    np.fill_diagonal(cosines, -2)
    found = {f: near(reader, 1, f, 0.5, 100) for f in range(D_SAE)}

    pairs = {(f, g) for f, rows in found.items() for _, g, _ in rows}
    assert pairs == {(g, f) for f, g in pairs}
    n_whole = 0
    for feature, rows in found.items():
        said = [cosine for _, _, cosine in rows]
        assert said == sorted(said, reverse=True)
        assert all(layer == 1 and cosine >= 0.5 for layer, _, cosine in rows)
        np.testing.assert_allclose(said, [cosines[feature, g] for _, g, _ in rows], atol=1e-5)
        inside = set(np.flatnonzero(cosines[feature] >= 0.5))
        assert set(np.argsort(-cosines[feature])[:N_STORED]) & inside <= {g for _, g, _ in rows}
        if len(rows) < N_STORED:
            assert {g for _, g, _ in rows} == inside
            n_whole += 1
    assert 20 < n_whole < D_SAE
    assert max(len(rows) for rows in found.values()) > N_STORED


def test_the_nearest_come_first_and_others_are_left_out(reader: Engine, directions: np.ndarray):
    cosines = directions @ directions.T
    np.fill_diagonal(cosines, -2)

    assert [g for _, g, _ in near(reader, 1, 40, -1, 3)] == np.argsort(-cosines[40])[:3].tolist()
    assert max(len(near(reader, 1, feature)) for feature in range(D_SAE)) == 10
    assert near(reader, 1, 40, 0.999999, 5) == []
    assert near(reader, 1, 40, -1, 3, 1) == near(reader, 1, 40, -1, 3)
    assert near(reader, 1, 40, -1, 3, 77) == []
    assert near(reader, 9, 40) == []


def test_it_joins_with_the_features(reader: Engine):
    query = """
        SELECT layer, feature, feature.cosine FROM atlas.near(1, 3, 0.2) AS close
        JOIN atlas.feature USING (layer, feature)
    """
    with reader.connect() as connection:
        assert len(connection.execute(text(query)).all()) == len(near(reader, 1, 3, 0.2))
