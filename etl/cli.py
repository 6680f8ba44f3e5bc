"""The one command, `feature-atlas`. Each command is a few lines; the work is in its own file."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from feature_atlas.etl.home import configure_libraries
from feature_atlas.models.session import atlas_home

app = typer.Typer(
    help="Build, load and explore a feature atlas of a vision-language model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
toy = typer.Typer(help="The tiny world: the same architecture on a laptop.", no_args_is_help=True)
app.add_typer(toy, name="toy")
console = Console(width=None if sys.stdout.isatty() else 160)  # a log is not 80 columns wide
complaints = Console(stderr=True)


class Format(StrEnum):
    """How `query` prints."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


@app.callback()
def main() -> None:
    """Data lies in ATLAS_HOME (default ./.atlas); ATLAS_DATABASE_URL replaces the own Postgres."""
    configure_libraries(atlas_home())


@contextmanager
def said_plainly() -> Iterator[None]:
    """Errors that the user can act on become one message and exit code 1; bugs keep a traceback."""
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except (ValueError, FileNotFoundError, RuntimeError, TypeError, ConnectionError) as error:
        complaints.print(f"error: {error}", style="red", highlight=False, markup=False)
        raise typer.Exit(1) from None
    except DBAPIError as error:
        complaints.print(f"error: database: {error.orig}", style="red", markup=False)
        raise typer.Exit(1) from None


@app.command()
def demo(
    dashboard: Annotated[
        bool, typer.Option(help="open the dashboard when the atlas is published")
    ] = True,
) -> None:
    """Build the atlas of the shipped tiny world, end to end, and show it."""
    with said_plainly():
        from feature_atlas.etl.demo import run_demo
        from feature_atlas.etl.serve import serve_dashboard

        run_demo(atlas_home(), console)
        if dashboard:
            serve_dashboard(atlas_home(), port=8501)


@app.command()
def build(
    config: Annotated[Path, typer.Argument(help="YAML configuration of the run")],
) -> None:
    """Run every stage of a configuration (or find it done) and publish the result."""
    with said_plainly():
        from feature_atlas.etl.build import build_and_publish
        from feature_atlas.etl.config import load_config

        build_and_publish(load_config(config), atlas_home(), console)


@app.command()
def ingest(
    folder: Annotated[Path, typer.Argument(help="run folder with a manifest.json")],
) -> None:
    """Verify a run folder and publish it; a run that is published already is left alone."""
    with said_plainly():
        from feature_atlas.etl.build import ingest_folder

        ingest_folder(folder, atlas_home(), console)


@app.command()
def migrate() -> None:
    """Bring the database schema to this version."""
    with said_plainly():
        from feature_atlas.etl.migrate import migrate as upgrade
        from feature_atlas.etl.postgres import ensure_database
        from feature_atlas.models.session import make_engine

        upgrade(make_engine(ensure_database()))
        console.print("schema is up to date")


@app.command()
def status() -> None:
    """Which runs are in the atlas, and where it lives."""
    with said_plainly():
        from feature_atlas.etl.summary import print_status

        print_status(console)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="one SELECT; views are in the schema atlas")],
    output: Annotated[Format, typer.Option("--format", help="how to print")] = Format.TABLE,
) -> None:
    """Run one read-only SQL query and print the rows."""
    with said_plainly():
        from feature_atlas.etl.summary import print_query

        print_query(sql, output.value, sys.stdout)


@app.command()
def dashboard(
    port: Annotated[int, typer.Option(help="TCP port on this machine")] = 8501,
) -> None:
    """Serve the dashboards on 127.0.0.1 until interrupted."""
    with said_plainly():
        from feature_atlas.etl.serve import serve_dashboard

        serve_dashboard(atlas_home(), port=port)


@app.command()
def doctor(
    config: Annotated[Path | None, typer.Argument(help="also check this configuration")] = None,
) -> None:
    """Check Python, packages, database, disk, GPU and model paths, and say what to do."""
    from feature_atlas.etl.doctor import run_doctor

    raise typer.Exit(0 if run_doctor(atlas_home(), config, console) else 1)


@app.command()
def stop() -> None:
    """Stop the embedded Postgres of this ATLAS_HOME."""
    with said_plainly():
        from feature_atlas.etl.postgres import EmbeddedPostgres

        stopped = EmbeddedPostgres(atlas_home()).stop()
        console.print("stopped" if stopped else "no embedded server was running")


@toy.command()
def train(
    out: Annotated[Path, typer.Argument(help="folder for language_model, vlm and saes")],
    seed: Annotated[int, typer.Option(help="everything random follows from it")] = 0,
) -> None:
    """Train the tiny language model, the tiny VLM and the base SAEs from nothing."""
    with said_plainly():
        from feature_atlas.toy.train import train_toy

        train_toy(out, seed=seed)
        console.print(f"written to {out}")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    app()
