"""Build a configuration and publish it, or find that it is published."""

import re
import shutil
import time
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from sqlalchemy import Engine, text

from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.opening.costs import duration
from feature_atlas.etl.opening.looks import require_good
from feature_atlas.etl.opening.opening import Opening, examine
from feature_atlas.etl.postgres.embedded import ensure_database
from feature_atlas.etl.run_folder.artifacts import SCRATCH
from feature_atlas.etl.run_folder.manifest_writing import write_run_manifest
from feature_atlas.etl.run_folder.patience import Nothing, build_together, with_patience
from feature_atlas.etl.study import open_run
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.etl.warehouse.migrate import migrate
from feature_atlas.models.session import make_engine


class Share(NamedTuple):
    """Which of several processes that build a run together this one is."""

    number: int
    of: int

    @classmethod
    def said(cls, text: str) -> "Share":
        """As in 3/8, the third of eight."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        share = cls(int(found[1]), int(found[2])) if found else cls(0, 0)
        if not 1 <= share.number <= share.of:
            raise ValueError(f"--shard {text}: expected two numbers such as 3/8, the third of 8.")
        return share

    def __str__(self) -> str:
        return f"{self.number} of {self.of}"


def build_and_publish(
    config: RunConfig,
    home: Path,
    console: Console,
    *,
    is_rehearsed: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
) -> str:
    """Run the flow unless the same run is published; returns the run's slug.

    The database's ledger is asked first, so that building twice costs no forward pass and no
    Prefect server. A long build is rehearsed first, unless it was (``is_rehearsed``). Shards go to
    ``workers`` processes of this machine or to those of a Dask ``scheduler``, if one is named.
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
    from feature_atlas.etl.prefect_server import require_prefect
    from feature_atlas.etl.rehearsal.rehearsal import LONG, rehearse

    if opening.seconds > LONG and not is_rehearsed and not is_begun(opening, home):
        console.print(f"about {duration(opening.seconds)} by arithmetic: rehearsing first")
        rehearse(config, home, console)
    run = open_run(config, home)  # weights that do not load fail here, before Prefect starts
    require_prefect()
    console.print(
        f"building [bold]{run.name}[/bold] (starting the flow), about {duration(opening.seconds)} "
        "by arithmetic"
    )
    if workers is None and scheduler is None:
        report = build_atlas(config, home)
    else:
        from feature_atlas.etl.workers import Workers, on_workers

        with on_workers(Workers(workers, scheduler), config.device) as task_runner:
            report = build_atlas.with_options(task_runner=task_runner)(config, home)
    console.print(
        f"run [bold]{run.name}[/bold] {report.status} "
        f"in {time.monotonic() - started:.0f} s, {sum(report.rows.values()):,} rows"
    )
    return run.name


def build_share(config: RunConfig, home: Path, console: Console, share: Share) -> str:
    """Build a run beside other processes, without database and Prefect; returns its slug.

    Each runs the next stage that nobody has and that needs none under way, or takes the next shard
    of one that another process has.
    """
    opening = open_build(config, home, console)
    require_good(opening.checks, config.name)
    from feature_atlas.etl.pipeline import run_method

    run = open_run(config, home)
    console.print(f"process {share} builds [bold]{run.name}[/bold], with all others that do")
    build_together(lambda stage: run_method(run, stage))
    console.print(f"every stage of [bold]{run.name}[/bold] is done. Publish it with --merge")
    return run.name


def publish_built(config: RunConfig, home: Path, console: Console) -> str:
    """Publish what other processes built, computing nothing; returns the slug."""
    opening = open_build(config, home, console)
    assert opening.inputs is not None
    run = home / "runs" / opening.inputs.slug
    if not (run / "inputs.json").is_file():
        raise RuntimeError(
            f"{run} has not been begun: build it with --shard first, with the same ATLAS_HOME."
        )
    from feature_atlas.etl.pipeline import run_method

    with with_patience(Nothing()):
        run_method(run, lambda body, *of: body(*of))
    write_run_manifest(run)
    engine = make_engine(ensure_database())
    migrate(engine)
    report = ingest(run, engine)
    shutil.rmtree(run / SCRATCH, ignore_errors=True)
    rows = sum(report.rows.values())
    console.print(f"run [bold]{run.name}[/bold] {report.status}, {rows:,} rows")
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
