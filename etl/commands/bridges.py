"""`feature-atlas export ...` and `feature-atlas import ...`: the atlas in the formats of others.

Exports read as the role atlas_reader. `docs/bridges.md` says what each format holds and loses.
"""

from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine

from feature_atlas.etl.terminal import console, plain_errors

export = typer.Typer(help="Write what the atlas holds for other tools.", no_args_is_help=True)
import_ = typer.Typer(help="Take in what other tools wrote.", no_args_is_help=True)

Run = Annotated[str, typer.Argument(help="slug or number of a published run")]
NewFolder = Annotated[Path, typer.Argument(help="folder to make")]
File = Annotated[Path, typer.Argument(help="file to write: .parquet, .csv, .json or .jsonl")]


@export.command("query")
def export_query_(
    sql: Annotated[str, typer.Argument(help="one SELECT; views are in the schema atlas")],
    file: File,
) -> None:
    """Write what a read-only SQL query returns, types kept in Parquet."""
    with plain_errors():
        from feature_atlas.etl.bridges.export_query import export_query

        console.print(f"{export_query(_reader(), sql, file):,} rows written to {file}")


@export.command("table")
def export_table_(
    name: Annotated[str, typer.Argument(help="a table or view of the schema atlas")],
    file: File,
) -> None:
    """Write a whole table or view, types kept in Parquet."""
    with plain_errors():
        from feature_atlas.etl.bridges.export_query import export_table

        console.print(f"{export_table(_reader(), name, file):,} rows written to {file}")


@export.command("run")
def export_run_(run: Run, folder: NewFolder) -> None:
    """Write a whole run from the database as a folder that another atlas ingests."""
    with plain_errors():
        from feature_atlas.etl.bridges.export_run import export_run

        done = export_run(_reader(), run, folder)
        n_rows = sum(done.rows.values())
        console.print(f"{n_rows:,} rows and {done.n_added} additions written to {done.folder}")
        console.print(f"load them elsewhere with `feature-atlas ingest {done.folder}`")


@export.command("edition")
def export_edition_(
    run: Run,
    output: Annotated[Path | None, typer.Option(help="folder to make; default: atlas-SLUG")] = None,
    author: Annotated[
        list[str] | None, typer.Option(help="a person or group to cite; again for each")
    ] = None,
    licence: Annotated[str, typer.Option(help="SPDX name of the data's licence")] = "CC-BY-4.0",
) -> None:
    """Write a run as an edition: one DuckDB file, Parquet beside it, no server needed."""
    with plain_errors():
        from feature_atlas.etl.bridges.edition.credit import credit
        from feature_atlas.etl.bridges.edition.edition import export_edition
        from feature_atlas.etl.warehouse.progress import bars

        said = credit(author or [], licence)
        with bars(console) as progress:
            done = export_edition(_reader(), run, output, said, progress)
        n_rows = sum(done.rows.values())
        console.print(f"{n_rows:,} rows of {len(done.rows)} tables written to {done.folder}")
        console.print(f"ask it: duckdb -readonly {done.folder}/*.duckdb", highlight=False)


@export.command("neuronpedia")
def export_neuronpedia_(
    run: Run,
    folder: NewFolder,
    creator: Annotated[
        str | None, typer.Option(help="Neuronpedia's id of the user whom the rows belong to")
    ] = None,
) -> None:
    """Write a run as a bundle for Neuronpedia: features, activations, explanations."""
    with plain_errors():
        from feature_atlas.etl.bridges.export_neuronpedia import CREATOR, export_neuronpedia

        done = export_neuronpedia(_reader(), run, folder, creator or CREATOR)
        console.print(
            f"{done.n_features:,} features, {done.n_activations:,} activations and "
            f"{done.n_explanations:,} explanations written to {done.folder}"
        )


@export.command("delphi")
def export_delphi_(run: Run, folder: NewFolder) -> None:
    """Write a run's descriptions and scores as Delphi's results."""
    with plain_errors():
        from feature_atlas.etl.bridges.export_delphi import export_delphi

        done = export_delphi(_reader(), run, folder)
        console.print(
            f"{done.n_explanations:,} explanations and {done.n_scores:,} scores written to "
            f"{done.folder}"
        )


@export.command("latent-df")
def export_latent_df_(run: Run, folder: NewFolder) -> None:
    """Write a run's features as latent_df.csv of diffing-toolkit, a file per layer."""
    with plain_errors():
        from feature_atlas.etl.bridges.export_latent_df import export_latent_df

        done = export_latent_df(_reader(), run, folder)
        console.print(f"{done.n_features:,} features in {done.n_files} files in {done.folder}")


@export.command("saes")
def export_saes_(
    run_folder: Annotated[Path, typer.Argument(help="folder of a finished build")],
    folder: NewFolder,
) -> None:
    """Copy the adapted SAEs of a build as SAELens folders."""
    with plain_errors():
        from feature_atlas.etl.bridges.export_saes import export_saes

        done = export_saes(run_folder, folder)
        console.print(f"{len(done.saes)} SAEs in {done.folder}, e.g. {done.saes[0]}")
        if done.not_kept:
            console.print(
                f"not kept by the build, so not here: {', '.join(done.not_kept)}. Their cosines, "
                "norms and curves are in the atlas; adapt.keep: all would keep them."
            )


@import_.command("neuronpedia")
def import_neuronpedia_(
    folder: Annotated[Path, typer.Argument(help="a model's folder of a Neuronpedia export")],
    sae_set: Annotated[
        str | None, typer.Option(help="name or number of the base SAEs, if there are several")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="what Neuronpedia calls the base model, if names differ")
    ] = None,
) -> None:
    """Import explanations of the base features, e.g. of llama3.1-8b/<L>-llamascope-res-32k."""
    with plain_errors():
        from feature_atlas.etl.bridges.import_neuronpedia import import_neuronpedia
        from feature_atlas.etl.warehouse.migrate import open_atlas

        done = import_neuronpedia(open_atlas(), folder, sae_set, model)
        console.print(
            f"{done.sae_set}: {done.labels.n_new:,} new labels, {done.labels.n_changed:,} changed, "
            f"{done.labels.n_same:,} as they were, from {done.n_files:,} files"
        )


@import_.command("delphi")
def import_delphi_(
    run: Run,
    folder: Annotated[Path, typer.Argument(help="a folder of Delphi's results")],
) -> None:
    """Add Delphi's explanations and scores to a published run."""
    with plain_errors():
        from feature_atlas.etl.bridges.import_delphi import import_delphi
        from feature_atlas.etl.warehouse.migrate import open_atlas

        done = import_delphi(open_atlas(), run, folder)
        n_rows = sum(done.report.rows.values())
        console.print(f"{done.report.slug}: {done.report.status}, {n_rows:,} scored explanations")
        if done.n_unscored or done.n_one_sided:
            console.print(
                f"left out: {done.n_unscored:,} explanations without a score, "
                f"{done.n_one_sided:,} scores without firing or without silent examples"
            )


def _reader() -> Engine:
    """Connections that only read; an export may take its time."""
    from feature_atlas.etl.warehouse.migrate import find_atlas
    from feature_atlas.models.session import make_reader_engine

    return make_reader_engine(find_atlas(), statement_timeout="1h")
