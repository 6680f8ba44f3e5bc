"""Build a configuration and publish it, or find that it is published."""

import time
from pathlib import Path

from rich.console import Console
from sqlalchemy import Engine, text

from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.postgres.embedded import ensure_database
from feature_atlas.etl.study import identify, open_run
from feature_atlas.etl.warehouse.migrate import migrate
from feature_atlas.models.session import make_engine


def build_and_publish(config: RunConfig, home: Path, console: Console) -> str:
    """Run the flow unless the same run is published; returns the run's slug.

    The database's ledger is asked first, so that building twice costs no forward pass and no
    Prefect server.
    """
    started = time.monotonic()
    console.print(f"fingerprinting the inputs of [bold]{config.name}[/bold]")
    inputs = identify(config)
    engine = make_engine(ensure_database())
    migrate(engine)
    if is_published(engine, inputs.config_hash):
        console.print(f"run [bold]{inputs.slug}[/bold] is published already: nothing changed")
        return inputs.slug
    open_run(config, home)  # a model or SAE that cannot be read fails here, before Prefect starts
    console.print(f"building [bold]{inputs.slug}[/bold] (starting the flow)")
    from feature_atlas.etl.pipeline import build_atlas  # Prefect takes seconds to import

    report = build_atlas(config, home)
    console.print(
        f"run [bold]{inputs.slug}[/bold] {report.status} "
        f"in {time.monotonic() - started:.0f} s, {sum(report.rows.values()):,} rows"
    )
    return inputs.slug


def is_published(engine: Engine, config_hash: str) -> bool:
    """Whether a run with this configuration and these inputs is visible to readers."""
    with engine.connect() as connection:
        state = connection.execute(
            text("select state from atlas.run where config_hash = :hash"), {"hash": config_hash}
        ).scalar()
    return state in ("published", "superseded")
