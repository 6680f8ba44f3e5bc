"""`feature-atlas lists ...`: the lists that readers keep. The work is in other files."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from feature_atlas.etl.commands.review import Reviewer, Run, signer
from feature_atlas.etl.terminal import Format, console, plain_errors

lists = typer.Typer(
    help="Lists of features that readers keep: list, show, export and import as CSV.",
    invoke_without_command=True,
)
Slug = Annotated[str, typer.Argument(help="the list's name in addresses", metavar="LIST")]


@lists.callback()
def list_all(context: typer.Context) -> None:
    """Without a command: every list, newest first."""
    if context.invoked_subcommand is not None:
        return
    with plain_errors():
        from feature_atlas.etl.labels.lists import all_lists
        from feature_atlas.etl.printed_rows import print_rows
        from feature_atlas.etl.warehouse.migrate import find_atlas
        from feature_atlas.models.session import make_engine

        print_rows(console, "Lists", all_lists(make_engine(find_atlas())))


@lists.command()
def show(
    slug: Slug,
    run: Run = None,
    output: Annotated[Format, typer.Option("--format", help="how to print")] = Format.TABLE,
) -> None:
    """The features of a list, with the numbers of a run."""
    with plain_errors():
        from feature_atlas.etl.labels.lists import show_list
        from feature_atlas.etl.printed_rows import print_columns
        from feature_atlas.etl.warehouse.migrate import find_atlas
        from feature_atlas.models.notation.csv_text import write_csv
        from feature_atlas.models.notation.json_text import write_json
        from feature_atlas.models.session import make_engine

        listed = show_list(make_engine(find_atlas()), slug, run)
        if output is Format.TABLE:
            print_columns(console, f"{slug} in {listed.slug}", listed.names, listed.rows)
        else:
            write = write_csv if output is Format.CSV else write_json
            write(sys.stdout, listed.names, listed.rows)


@lists.command("export")
def list_export(
    slug: Slug,
    file: Annotated[Path, typer.Argument(help="CSV file to write")],
    run: Run = None,
) -> None:
    """Write a list as CSV, with the numbers of a run."""
    with plain_errors():
        from feature_atlas.etl.labels.lists import export_list
        from feature_atlas.etl.warehouse.migrate import find_atlas
        from feature_atlas.models.session import make_engine

        listed = export_list(make_engine(find_atlas()), slug, file, run)
        console.print(f"{slug}: {len(listed.rows):,} features written to {file}", markup=False)


@lists.command("import")
def list_import(
    file: Annotated[Path, typer.Argument(help="CSV file with layer and feature, perhaps note")],
    title: Annotated[str, typer.Option("--list", help="title of the list, old or new")],
    run: Run = None,
    reviewer: Reviewer = None,
) -> None:
    """Put the features of a CSV file into a list; what is in it already stays as it is."""
    with plain_errors():
        from feature_atlas.etl.labels.lists import import_list
        from feature_atlas.etl.warehouse.migrate import open_atlas

        added = import_list(open_atlas(), file, title, run, signer(reviewer))
        console.print(
            f"{added.slug}: {added.n_new:,} features added, {added.n_there:,} were there",
            markup=False,
        )
