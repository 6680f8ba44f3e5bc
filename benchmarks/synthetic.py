"""A server of its own with made-up runs of the true tables, as many features as wanted."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, text

from feature_atlas.etl.postgres.embedded import EmbeddedPostgres
from feature_atlas.etl.warehouse.load import IngestReport, ingest
from feature_atlas.etl.warehouse.migrate import migrate
from feature_atlas.models.session import make_engine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))  # what tests share
import run_folder

D_SAE = 32_768

COPY_RUN = """
INSERT INTO atlas.run (slug, config, config_hash, vlm_id, sae_set_id, code_version, dirty, state,
                       published_at, n_layers, d_sae, checksum)
SELECT slug || '-' || :seed, config, encode(sha256(cast(:seed AS text)::bytea), 'hex'), vlm_id,
       sae_set_id, code_version, dirty, 'published', now(), n_layers, d_sae, checksum
FROM atlas.run WHERE id = :source RETURNING id
"""
COLUMNS = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = 'atlas' AND table_name = 'feature_record' ORDER BY ordinal_position
"""
COPY_RECORDS = """
CREATE TABLE atlas.feature_record_run_{run_id}
    (LIKE atlas.feature_record INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
INSERT INTO atlas.feature_record_run_{run_id}
    SELECT {values} FROM atlas.feature_record WHERE run_id = {source};
ALTER TABLE atlas.feature_record
    ATTACH PARTITION atlas.feature_record_run_{run_id} FOR VALUES IN ({run_id});
ANALYZE atlas.feature_record_run_{run_id};
"""


@contextmanager
def atlas() -> Iterator[tuple[Path, Engine]]:
    """A folder and an empty atlas in it; both go when done."""
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as engine:
        yield Path(folder), engine


@contextmanager
def served(home: Path) -> Iterator[Engine]:
    """The atlas of an ATLAS_HOME, which stays; its server stops when done."""
    server = EmbeddedPostgres(home)
    engine = make_engine(server.start())
    try:
        migrate(engine)
        yield engine
    finally:
        engine.dispose()
        server.stop()


def write_run(folder: Path, n_features: int, seed: int = 0) -> Path:
    """A run folder with this many features, 32,768 a layer."""
    layers = tuple(range(n_features // D_SAE))
    return run_folder.write_run_folder(
        folder / "runs", seed=seed, layers=layers, d_sae=D_SAE, name="synthetic"
    )


def load_run(folder: Path, engine: Engine, n_features: int) -> IngestReport:
    """Write and load one run."""
    return ingest(write_run(folder, n_features), engine)


def copy_run(engine: Engine, source: int, seed: int) -> int:
    """Another published run with a read model like that of `source`, its numbers shaken.

    Made by the server itself: only reading is timed on it.
    """
    with engine.begin() as connection:
        run_id = connection.scalar(text(COPY_RUN), {"seed": str(seed), "source": source})
        names = connection.scalars(text(COLUMNS)).all()
        values = ", ".join(_shaken(name, run_id) for name in names)
        connection.execute(text(COPY_RECORDS.format(run_id=run_id, values=values, source=source)))
    return int(run_id)


def _shaken(name: str, run_id: int) -> str:
    if name == "run_id":
        return str(run_id)
    if name in ("cosine", "visual_energy", "spatial_odds_ratio"):
        return f"{name} * (0.9 + 0.1 * random())"
    return name
