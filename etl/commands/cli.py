"""The one command, `feature-atlas`. Each command is a few lines; the work is in its own file."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from feature_atlas.etl.commands.bridges import export, import_
from feature_atlas.etl.commands.convert import convert
from feature_atlas.etl.commands.documents import dictionary, reproduction
from feature_atlas.etl.commands.home import configure_libraries
from feature_atlas.etl.commands.lists import lists
from feature_atlas.etl.commands.mcp_server import mcp
from feature_atlas.etl.commands.own_prompt import activations, overlay, serve_model
from feature_atlas.etl.commands.review import review
from feature_atlas.etl.commands.runs import runs
from feature_atlas.etl.commands.skills import skills
from feature_atlas.etl.terminal import Format, InUtf8, Picture, complaints, console, plain_errors
from feature_atlas.models.session import atlas_home

app = typer.Typer(
    cls=InUtf8,
    help="Build, load and explore a feature atlas of a vision-language model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
toy = typer.Typer(help="The tiny world: the same architecture on a laptop.", no_args_is_help=True)
app.add_typer(toy, name="toy")
app.add_typer(convert, name="convert")
app.add_typer(runs, name="runs")
app.add_typer(skills, name="skills")
app.add_typer(review, name="review")
app.add_typer(lists, name="lists")
app.add_typer(export, name="export")
app.add_typer(import_, name="import")
for command in (activations, overlay, serve_model, mcp, dictionary, reproduction):
    app.command()(command)


@app.callback()
def main() -> None:
    """Data lies in ATLAS_HOME (default ./.atlas); ATLAS_DATABASE_URL replaces the own Postgres."""
    configure_libraries(atlas_home())


@app.command()
def demo(
    dashboard: Annotated[
        bool, typer.Option(help="open the dashboard when the atlas is published")
    ] = True,
    seed: Annotated[
        int, typer.Option(help="another seed is another run beside it, to compare with")
    ] = 0,
    full: Annotated[
        bool, typer.Option("--full", help="every stage and control: some half an hour")
    ] = False,
) -> None:
    """Build the atlas of the shipped tiny world, end to end, and show it."""
    with plain_errors():
        from feature_atlas.etl.commands.demo import run_demo, run_full_demo
        from feature_atlas.etl.commands.serve import serve_dashboard

        run = run_full_demo if full else run_demo
        run(atlas_home(), console, seed)
        if dashboard:
            serve_dashboard(atlas_home(), port=8501)


@app.command()
def build(
    config: Annotated[Path, typer.Argument(help="YAML configuration of the run")],
    rehearse: Annotated[
        bool, typer.Option("--rehearse", help="only go through every stage on a few samples")
    ] = False,
    no_rehearsal: Annotated[
        bool, typer.Option("--no-rehearsal", help="do not go through it first, however long")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="processes of this machine that compute shards")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="address of a Dask scheduler whose workers do")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="K/N", help="one of N processes that build together; publishes nothing"
        ),
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="only publish what such processes have built")
    ] = False,
) -> None:
    """Run every stage of a configuration (or find it done) and publish the result.

    A long build goes through every stage on a handful of samples first. On a cluster processes with
    one ATLAS_HOME build together with --shard, and one publishes with --merge when they have ended.
    """
    with plain_errors():
        from feature_atlas.etl import build as builds
        from feature_atlas.etl.config.run_config import load_config

        ways = (rehearse, merge, *(said is not None for said in (shard, workers, scheduler)))
        if sum(ways) > 1:
            raise ValueError(
                "expected one at the most of --rehearse, --shard, --merge, --workers, --scheduler."
            )
        settings, home = load_config(config), atlas_home()
        if rehearse:
            builds.rehearse_build(settings, home, console)
        elif shard is not None:
            builds.build_share(settings, home, console, builds.Share.said(shard))
        elif merge:
            builds.publish_built(settings, home, console)
        else:
            builds.build_and_publish(
                settings,
                home,
                console,
                is_rehearsed=no_rehearsal,
                workers=workers,
                scheduler=scheduler,
            )


@app.command()
def ingest(
    folder: Annotated[Path, typer.Argument(help="run folder with a manifest.json")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="verify everything and stop; needs no database")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="when another process loads the run, wait for it")
    ] = False,
) -> None:
    """Verify a run folder and publish it; a run that is published already is left alone."""
    with plain_errors():
        from feature_atlas.etl.commands.ingest import check_folder, ingest_folder

        if dry_run:
            check_folder(folder, console)
        else:
            ingest_folder(folder, console, wait=wait)


@app.command()
def reingest(
    source: Annotated[str, typer.Argument(help="folder or fsspec URL that holds SAE runs")],
    config: Annotated[
        Path | None, typer.Option(help="YAML configuration that SAEs are built with")
    ] = None,
) -> None:
    """Publish the SAE runs at a place that are new or changed, and report what drifted.

    Exit code 1: one of them could not be taken; the others are published all the same.
    """
    with plain_errors():
        from feature_atlas.etl.config.run_config import load_config
        from feature_atlas.etl.reingest.reingest import (
            any_new,
            leave,
            look,
            print_outcomes,
            require_all_taken,
        )
        from feature_atlas.etl.warehouse.migrate import open_atlas

        engine, base = open_atlas(), None if config is None else load_config(config)
        found = look(source, base, atlas_home(), engine)
        if not any_new(found):
            outcomes = [leave(one, engine) for one in found]
            print_outcomes(outcomes, console)
            require_all_taken(outcomes)
            return
        from feature_atlas.etl.flows import reingest_flow  # Prefect takes seconds to start
        from feature_atlas.etl.prefect_server import require_prefect

        require_prefect()
        reingest_flow(source, None if config is None else config.absolute())


@app.command()
def migrate() -> None:
    """Bring the schema to this version; give readers and writer the passwords that are set."""
    with plain_errors():
        from feature_atlas.etl.warehouse.migrate import open_atlas
        from feature_atlas.etl.warehouse.role_password import set_passwords

        engine = open_atlas()
        console.print("schema is up to date")
        for variable, role in set_passwords(engine).items():
            console.print(f"{role} logs in with {variable}")


@app.command()
def status() -> None:
    """Which runs are in the atlas, and where it lives."""
    with plain_errors():
        from feature_atlas.etl.commands.summary import print_status

        print_status(console)


@app.command()
def query(
    sql: Annotated[
        str | None,
        typer.Argument(help="one SELECT; views are in the schema atlas. With --saved, a name"),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Argument(help="what :name stands for, as name=value", metavar="[NAME=VALUE]..."),
    ] = None,
    saved: Annotated[
        bool, typer.Option("--saved", help="a query of the cookbook; without a name, list them")
    ] = False,
    output: Annotated[Format, typer.Option("--format", help="how to print")] = Format.TABLE,
) -> None:
    """Run one read-only SQL query, your own or a saved one, and print the rows."""
    with plain_errors():
        from feature_atlas.etl.commands.query import list_saved, print_query, print_saved

        if sql is not None:
            run = print_saved if saved else print_query
            run(sql, values or [], output.value, sys.stdout)
        elif saved:
            list_saved(console)
        else:
            raise ValueError("expected one SELECT, or --saved; `feature-atlas query --help`.")


@app.command()
def search(
    words: Annotated[str, typer.Argument(help='as in a web search: "a phrase", or, -without')],
    run: Annotated[str | None, typer.Option(help="slug or id; default: the current run")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="features at most")] = 25,
    output: Annotated[Format, typer.Option("--format", help="how to print")] = Format.TABLE,
) -> None:
    """Find features by their descriptions, questions and tokens, and by meaning where it can."""
    with plain_errors():
        from feature_atlas.etl.labels.search import print_search

        print_search(words, run, limit, output.value, sys.stdout, complaints)


@app.command()
def embed(
    run: Annotated[str | None, typer.Argument(help="slug or id; default: every run")] = None,
) -> None:
    """Embed descriptions for search by meaning; what has its vector is left alone."""
    with plain_errors():
        from feature_atlas.etl.labels.embedding import embed as embed_descriptions

        embed_descriptions(run, console)


@app.command()
def dashboard(
    port: Annotated[int, typer.Option(help="TCP port on this machine")] = 8501,
) -> None:
    """Serve the dashboards on 127.0.0.1 until interrupted."""
    with plain_errors():
        from feature_atlas.etl.commands.serve import serve_dashboard

        serve_dashboard(atlas_home(), port=port)


@app.command()
def figures(
    run: Annotated[
        str | None, typer.Argument(help="slug or id; default: the newest published run")
    ] = None,
    out: Annotated[Path, typer.Option(help="folder to write to")] = Path("docs/figures"),
    picture: Annotated[Picture, typer.Option("--format", help="of the files")] = Picture.PNG,
) -> None:
    """Draw the paper's figures of a run from SQL alone; says which it has no data for."""
    with plain_errors():
        from feature_atlas.etl.commands.figures import draw_figures

        code = draw_figures(run, out, picture.value)
    raise typer.Exit(code)


@app.command()
def doctor(
    config: Annotated[Path | None, typer.Argument(help="also check this configuration")] = None,
    card_gb: Annotated[
        float | None, typer.Option(min=1, help="plan memory for a card of so many GB, here or not")
    ] = None,
) -> None:
    """Check Python, packages, database, disk, GPU and model paths, and say what to do."""
    from feature_atlas.etl.commands.doctor import run_doctor

    raise typer.Exit(0 if run_doctor(atlas_home(), config, console, card_gb) else 1)


@app.command()
def stop() -> None:
    """Stop the embedded Postgres of this ATLAS_HOME."""
    with plain_errors():
        from feature_atlas.etl.postgres.embedded import EmbeddedPostgres

        stopped = EmbeddedPostgres(atlas_home()).stop()
        console.print("stopped" if stopped else "no embedded server was running")


@toy.command()
def train(
    out: Annotated[Path, typer.Argument(help="folder for language_model, vlm and saes")],
    seed: Annotated[int, typer.Option(help="everything random follows from it")] = 0,
) -> None:
    """Train the tiny language model, the tiny VLM and the base SAEs from nothing."""
    with plain_errors():
        from feature_atlas.toy.train import train_toy

        train_toy(out, seed=seed)
        console.print(f"written to {out}")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    app()
