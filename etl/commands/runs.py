"""`feature-atlas runs ...`: the versions of the atlas, one by one. The work is in other files."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from feature_atlas.etl.terminal import Format, console, plain_errors
from feature_atlas.models.notation.json_text import json_text

runs = typer.Typer(
    help="The versions of the atlas: list, show, compare, add to, promote, release, drop.",
    invoke_without_command=True,
)
Named = Annotated[
    str, typer.Argument(help="slug, the start of one, id, or `stable`", metavar="RUN")
]


@runs.callback()
def list_all(context: typer.Context) -> None:
    """Without a command: every run, newest first."""
    if context.invoked_subcommand is not None:
        return
    with plain_errors():
        from feature_atlas.etl.printed_rows import print_rows
        from feature_atlas.etl.warehouse.migrate import find_atlas
        from feature_atlas.etl.warehouse.runs import list_runs
        from feature_atlas.models.session import make_engine

        with make_engine(find_atlas()).connect() as connection:
            print_rows(console, "Runs", list_runs(connection))


@runs.command()
def show(
    run: Named,
    as_json: Annotated[bool, typer.Option("--json", help="everything, nothing shortened")] = False,
) -> None:
    """What one run is, where its numbers come from, and how many there are."""
    with plain_errors():
        from feature_atlas.etl.commands.runs_shown import print_run
        from feature_atlas.etl.warehouse.migrate import find_atlas
        from feature_atlas.etl.warehouse.runs import describe_run, resolve_run
        from feature_atlas.models.session import make_engine

        with make_engine(find_atlas()).connect() as connection:
            description = describe_run(connection, resolve_run(connection, run).id)
        if as_json:
            console.print_json(json_text(description._asdict()))
        else:
            print_run(console, description)


@runs.command()
def add(
    run: Named,
    folder: Annotated[Path, typer.Argument(help="folder with a manifest.json that adds_to it")],
    wait: Annotated[
        bool, typer.Option("--wait", help="when another process loads the run, wait for it")
    ] = False,
) -> None:
    """Add a measurement to a published run: another skill, new labels. What is there stays."""
    with plain_errors():
        from feature_atlas.etl.warehouse.addition import add_to_run
        from feature_atlas.etl.warehouse.migrate import open_atlas

        report = add_to_run(open_atlas(), run, folder, wait=wait)
        console.print(f"{report.slug}: {report.status} {', '.join(report.stages)}".rstrip())
        for table, n_rows in report.rows.items():
            console.print(f"  {n_rows:,} rows of {table}")


@runs.command()
def promote(
    run: Named,
    stable: Annotated[
        bool, typer.Option("--stable", help="promise it to readers instead: it will stay")
    ] = False,
) -> None:
    """Make a superseded run the published one of its lineage again, or any the stable one."""
    with plain_errors():
        if stable:
            _promise(run)
            return
        from feature_atlas.etl.warehouse.migrate import open_atlas
        from feature_atlas.etl.warehouse.promote import promote_run

        report = promote_run(open_atlas(), run)
        console.print(f"{report.slug}: {report.status}")
        if report.superseded is not None:
            console.print(f"{report.superseded}: superseded")
        console.print(f"readers who name no run see {report.readers_see}")


@runs.command()
def release(run: Named) -> None:
    """Take back the promise that RUN stays; no run is stable then."""
    with plain_errors():
        from feature_atlas.etl.warehouse.migrate import open_atlas
        from feature_atlas.etl.warehouse.promote import release_run

        console.print(f"{release_run(open_atlas(), run).slug}: released, no run is stable")


@runs.command()
def diff(
    before: Named,
    after: Named,
    limit: Annotated[int, typer.Option(min=0, help="features listed at most")] = 20,
    output: Annotated[Format, typer.Option("--format", help="how to print")] = Format.TABLE,
    cosine_threshold: Annotated[
        float, typer.Option(help="cosines further apart than this count as changed")
    ] = 0.1,
    energy_factor: Annotated[
        float, typer.Option(help="visual energies in a larger ratio count as changed")
    ] = 2.0,
) -> None:
    """What changed from one published run to another, beyond its interval: drift by layer."""
    with plain_errors():
        from feature_atlas.etl.config.run_config import DriftConfig
        from feature_atlas.etl.reingest.drift_report import drift_between, print_drift
        from feature_atlas.etl.warehouse.migrate import find_atlas
        from feature_atlas.models.session import make_engine

        config = DriftConfig(cosine_threshold=cosine_threshold, energy_factor=energy_factor)
        with make_engine(find_atlas()).connect() as connection:
            drift = drift_between(connection, before, after, config, limit)
        print_drift(drift, output.value, sys.stdout)


@runs.command()
def drop(
    run: Named,
    yes: Annotated[
        bool, typer.Option("--yes", help="also where readers see it or people worked on it")
    ] = False,
) -> None:
    """Remove one run for good: its facts, its measurements, its row. Images and samples stay."""
    with plain_errors():
        from feature_atlas.etl.warehouse.drop import drop_run
        from feature_atlas.etl.warehouse.migrate import open_atlas

        report = drop_run(open_atlas(), run, confirmed=yes)
        console.print(f"{report.slug}: dropped, {sum(report.rows.values()):,} rows")
        if report.relinked:
            console.print(f"its parent is now the parent of {', '.join(report.relinked)}")
        if report.stepped_up is not None:
            console.print(f"{report.stepped_up}: published again in its place")
        console.print(f"readers who name no run see {report.readers_see or 'nothing'}")


def _promise(run: str) -> None:
    from feature_atlas.etl.warehouse.migrate import open_atlas
    from feature_atlas.etl.warehouse.promote import promise_run

    report = promise_run(open_atlas(), run)
    console.print(f"{report.slug}: {report.status}")
    if report.instead_of is not None:
        console.print(f"{report.instead_of}: released")
