"""Commands that write a page of docs/ from the database: the data dictionary, the reproduction."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from feature_atlas.etl.terminal import console, plain_errors

Output = Annotated[Path | None, typer.Option(help="write to this file, not the screen")]


def dictionary(output: Output = None) -> None:
    """Say in Markdown what every view, table, column and function of the atlas holds."""
    with plain_errors():
        from feature_atlas.etl.warehouse.data_dictionary import data_dictionary
        from feature_atlas.etl.warehouse.migrate import find_atlas
        from feature_atlas.models.session import make_engine

        _write(data_dictionary(make_engine(find_atlas())), output)


def reproduction(
    run: Annotated[str | None, typer.Option(help="slug or id; default: the current run")] = None,
    output: Output = None,
) -> None:
    """Say in Markdown what of the paper holds in a run: each claim, its number, its controls."""
    with plain_errors():
        from feature_atlas.etl.warehouse.migrate import find_atlas
        from feature_atlas.etl.warehouse.reproduction import reproduction as restated
        from feature_atlas.models.session import make_reader_engine

        _write(restated(make_reader_engine(find_atlas()), run), output)


def _write(document: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(document)
    else:
        output.write_text(document, encoding="utf-8")
        console.print(f"written to {output}")
