"""The neighbours of one feature among 32 layers x 32,768: stored lists beside pgvector.

Stored: what the product of a layer's directions takes, what a million rows take on disk, and what
`atlas.near` takes. pgvector: what its exact search and its index take of one layer, as far as it
can index such widths (vector to 2,000 numbers, halfvec to 4,000). Directions are made up: clusters
of twenty, as split features are.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
import psycopg
import torch
from pgvector import HalfVector, Vector
from pgvector.psycopg import register_vector
from sqlalchemy import Engine
from synthetic import D_SAE, atlas, load_run

from feature_atlas.features.nearest_feature import nearest_features
from feature_atlas.models.session import make_reader_engine

N_LAYERS = 32
N_ASKED = 200
ROWS_OF_PRODUCT = 4096
"""Of the product only so many rows are timed; it is linear in them."""
COSINE = 0.3

FILL = """
CREATE TABLE atlas.nearest_feature_run_{run}_new
    (LIKE atlas.nearest_feature INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
INSERT INTO atlas.nearest_feature_run_{run}_new
SELECT {run}, layer, feature, measurement_id,
       ARRAY(SELECT feature / 20 * 20 + mod(feature + step, 20) FROM generate_series(1, 8) AS step),
       ARRAY(SELECT cast(0.9 - 0.08 * step AS real) FROM generate_series(1, 8) AS step)
FROM generate_series(0, {layers} - 1) AS layer, generate_series(0, {n} - 1) AS feature,
     (SELECT min(id) AS measurement_id FROM atlas.measurement WHERE run_id = {run}) AS made
ORDER BY layer, feature;
DROP TABLE atlas.nearest_feature_run_{run};
ALTER TABLE atlas.nearest_feature_run_{run}_new ADD PRIMARY KEY (run_id, layer, feature);
ALTER TABLE atlas.nearest_feature ATTACH PARTITION atlas.nearest_feature_run_{run}_new
    FOR VALUES IN ({run});
ANALYZE atlas.nearest_feature_run_{run}_new;
"""


def main() -> None:
    """Print all of it; an argument is the width of the residual stream."""
    d_model = int(sys.argv[1]) if len(sys.argv) > 1 else 4096
    generator = np.random.default_rng(0)
    _time_product(_directions(generator, D_SAE, d_model))
    with atlas() as (folder, engine):
        run = load_run(folder, engine, D_SAE).run_id
        with engine.begin() as connection:
            connection.exec_driver_sql(FILL.format(run=run, n=D_SAE, layers=N_LAYERS))
        _time_stored(engine, run, generator)
        _time_vectors(engine, generator, d_model)


def _directions(generator: np.random.Generator, n: int, d_model: int) -> np.ndarray:
    centres = generator.standard_normal((n // 20 + 1, d_model), np.float32)
    rows = np.repeat(centres, 20, axis=0)[:n]
    rows += 0.8 * generator.standard_normal((n, d_model), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def _time_product(directions: np.ndarray) -> None:
    some = torch.from_numpy(directions[:ROWS_OF_PRODUCT])
    seconds = _seconds(lambda: nearest_features(some, 8))
    a_layer = seconds * (len(directions) / ROWS_OF_PRODUCT) ** 2
    print(f"product of a layer of {directions.shape}: {a_layer:.0f} s, by {ROWS_OF_PRODUCT} rows")


def _time_stored(engine: Engine, run: int, generator: np.random.Generator) -> None:
    url = engine.url.render_as_string(hide_password=False)
    reader = make_reader_engine(url)
    with reader.connect() as connection:
        size = connection.exec_driver_sql(
            f"SELECT pg_size_pretty(pg_total_relation_size('atlas.nearest_feature_run_{run}_new'))"
        ).scalar()
        print(f"stored, {N_LAYERS} x {D_SAE:,}: {size}")

        def ask() -> None:
            layer, feature = generator.integers(N_LAYERS), generator.integers(D_SAE)
            connection.exec_driver_sql(
                f"SELECT * FROM atlas.near({layer}, {feature}, {COSINE}, 20)"
            ).all()

        _print("atlas.near", ask, N_ASKED)
    reader.dispose()


def _time_vectors(engine: Engine, generator: np.random.Generator, d_model: int) -> None:
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    directions = _directions(generator, D_SAE, d_model)
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("CREATE EXTENSION IF NOT EXISTS vector")
        session.execute("SET maintenance_work_mem = '1GB'")
        register_vector(session)
        for kind, make in (("vector", Vector), ("halfvec", HalfVector)):
            _time_kind(session, kind, make, directions)


def _time_kind(
    session: psycopg.Connection, kind: str, make: Callable, directions: np.ndarray
) -> None:
    n, d_model = directions.shape
    table = f"of_{kind}"
    session.execute(f"CREATE TABLE {table} (feature integer PRIMARY KEY, row {kind}({d_model}))")

    def fill() -> None:
        with (
            session.cursor() as cursor,
            cursor.copy(f"COPY {table} FROM STDIN (FORMAT binary)") as copy,
        ):
            copy.set_types(["int4", kind])
            for feature in range(n):
                copy.write_row((feature, make(directions[feature])))

    def ask() -> None:
        feature = int(np.random.default_rng().integers(n))
        session.execute(
            f"SELECT feature, 1 - (row <=> (SELECT row FROM {table} WHERE feature = {feature}))"
            f" FROM {table} ORDER BY row <=> (SELECT row FROM {table} WHERE feature = {feature})"
            " LIMIT 20"
        ).fetchall()

    print(f"{kind}({d_model}), one layer: filled in {_seconds(fill):.0f} s")
    _print("exact", ask, 5)
    try:
        built = _seconds(
            lambda: session.execute(f"CREATE INDEX ON {table} USING hnsw (row {kind}_cosine_ops)")
        )
    except psycopg.Error as error:
        print(f"  no index: {str(error).splitlines()[0]}")
    else:
        print(f"  index of one layer built in {built:.0f} s")
        _print("by the index", ask, N_ASKED)
    size = session.execute(f"SELECT pg_total_relation_size('{table}')").fetchone()
    print(f"  {size[0] / 2**20:.0f} MiB a layer" if size else "")
    session.execute(f"DROP TABLE {table}")


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _print(name: str, ask: Callable[[], None], times: int) -> None:
    ask()
    p50, p95 = np.percentile([_seconds(ask) for _ in range(times)], [50, 95]) * 1000
    print(f"  {name:<32} median {p50:9.1f} ms   p95 {p95:9.1f} ms")


if __name__ == "__main__":
    main()
