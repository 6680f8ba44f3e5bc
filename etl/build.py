"""Build a configuration and publish it, or find that it is published."""

import time
from pathlib import Path

from rich.console import Console
from sqlalchemy import Engine, text

from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.opening.costs import duration
from feature_atlas.etl.opening.looks import require_good
from feature_atlas.etl.opening.opening import Opening, examine
from feature_atlas.etl.postgres.embedded import ensure_database
from feature_atlas.etl.study import open_run
from feature_atlas.etl.warehouse.migrate import migrate
from feature_atlas.models.session import make_engine


def build_and_publish(
    config: RunConfig, home: Path, console: Console, *, is_rehearsed: bool = False
) -> str:
    """Run the flow unless the same run is published; returns the run's slug.

    The database's ledger is asked first, so that building twice costs no forward pass and no
    Prefect server. A long build is rehearsed first, unless it was (``is_rehearsed``).
    """
    started = time.monotonic()
    opening = open_build(config, home, console)
    engine = make_engine(ensure_database())
    migrate(engine)
    if opening.inputs is not None and is_published(engine, opening.inputs.config_hash):
        slug = opening.inputs.slug
        console.print(f"run [bold]{slug}[/bold] is published already: nothing changed")
        return slug
    require_good(opening.checks, config.name)
    from feature_atlas.etl.pipeline import build_atlas  # Prefect takes seconds to import
    from feature_atlas.etl.rehearsal.rehearsal import LONG, rehearse

    if opening.seconds > LONG and not is_rehearsed and not is_begun(opening, home):
        console.print(f"about {duration(opening.seconds)} by arithmetic: rehearsing first")
        rehearse(config, home, console)
    run = open_run(config, home)  # weights that do not load fail here, before Prefect starts
    console.print(
        f"building [bold]{run.name}[/bold] (starting the flow), about {duration(opening.seconds)} "
        "by arithmetic"
    )
    report = build_atlas(config, home)
    console.print(
        f"run [bold]{run.name}[/bold] {report.status} "
        f"in {time.monotonic() - started:.0f} s, {sum(report.rows.values()):,} rows"
    )
    return run.name


def rehearse_build(config: RunConfig, home: Path, console: Console) -> None:
    """Open a configuration and rehearse it, and leave it at that."""
    require_good(open_build(config, home, console).checks, config.name)
    from feature_atlas.etl.rehearsal.rehearsal import rehearse

    started = time.monotonic()
    rehearse(config, home, console)
    console.print(
        f"rehearsed [bold]{config.name}[/bold] in {time.monotonic() - started:.0f} s: every stage "
        "ran, and its run may be loaded. Nothing was kept"
    )


def open_build(config: RunConfig, home: Path, console: Console) -> Opening:
    """What `doctor` looks at; files that cannot be read stop it here."""
    console.print(f"looking at the inputs of [bold]{config.name}[/bold]")
    opening = examine(config, home)
    if opening.inputs is None:
        require_good(opening.checks, config.name)
    return opening


def is_begun(opening: Opening, home: Path) -> bool:
    """Whether an earlier build has finished a stage: it went through its rehearsal."""
    if opening.inputs is None:
        return False
    return any((home / "runs" / opening.inputs.slug).glob("*/stage.json"))


def is_published(engine: Engine, config_hash: str) -> bool:
    """Whether a run with this configuration and these inputs is visible to readers."""
    with engine.connect() as connection:
        state = connection.execute(
            text("select state from atlas.run where config_hash = :hash"), {"hash": config_hash}
        ).scalar()
    return state in ("published", "superseded")
