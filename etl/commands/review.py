"""`feature-atlas review ...`: what people say of descriptions. The work is in other files."""

import getpass
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from feature_atlas.etl.terminal import console, plain_errors


class FeatureFirst(TyperGroup):
    """`review 2/38 --verdict accept` is short for `review feature 2/38 --verdict accept`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put in the word that is left out."""
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["feature", *args]
        return super().parse_args(ctx, args)


review = typer.Typer(
    help="Judge labels: FEATURE --verdict ..., or export and import many as CSV.",
    cls=FeatureFirst,
    no_args_is_help=True,
)

Run = Annotated[str | None, typer.Option(help="slug or id; default: the current run")]
Reviewer = Annotated[
    str | None, typer.Option(help="who; default: ATLAS_REVIEWER, else the user of this machine")
]


@review.command("feature")
def review_feature(
    feature: Annotated[str, typer.Argument(help="LAYER/FEATURE, e.g. 2/38")],
    verdict: Annotated[str, typer.Option(help="accept, edit or reject the label")],
    description: Annotated[str | None, typer.Option(help="your own words, for edit")] = None,
    note: Annotated[str | None, typer.Option(help="why")] = None,
    run: Run = None,
    reviewer: Reviewer = None,
) -> None:
    """Say what you think of a feature's label. Earlier verdicts are kept; the newest counts."""
    with plain_errors():
        from feature_atlas.etl.labels.review import add_reviews, label_now, read_place
        from feature_atlas.etl.warehouse.migrate import open_atlas
        from feature_atlas.models.meaning.judgement import Judgement

        layer, number = read_place(feature)
        engine = open_atlas()
        judged = label_now(engine, run, layer, number)
        said = Judgement(layer, number, verdict, description, note, signer(reviewer), judged)
        done = add_reviews(engine, run, [said])
        label = label_now(engine, run, layer, number)
        what = "noted" if done.n_new else "noted already"
        console.print(f"{done.slug} {feature}: {verdict}, {what}; its label: {label}", markup=False)


@review.command("export")
def review_export(
    file: Annotated[Path, typer.Argument(help="CSV file to write")],
    run: Run = None,
    everything: Annotated[bool, typer.Option("--all", help="reviewed features too")] = False,
) -> None:
    """Write the labels that nobody has reviewed, to be judged in a spreadsheet."""
    with plain_errors():
        from feature_atlas.etl.labels.review_table import export_reviews
        from feature_atlas.etl.warehouse.migrate import find_atlas
        from feature_atlas.models.session import make_engine

        done = export_reviews(make_engine(find_atlas()), run, file, everything=everything)
        console.print(f"{done.slug}: {done.n_rows:,} labels written to {file}", markup=False)


@review.command("sheet")
def review_sheet(
    file: Annotated[Path, typer.Argument(help="CSV file to write")],
    n: Annotated[int, typer.Option("--n", min=1, help="features to draw")] = 60,
    seed: Annotated[int, typer.Option(help="another one draws others")] = 0,
    run: Run = None,
) -> None:
    """Draw features for two reviewers: survivors, turned by vision, candidates, others in turn."""
    with plain_errors():
        from feature_atlas.etl.labels.review_table import export_sheet
        from feature_atlas.etl.warehouse.migrate import find_atlas
        from feature_atlas.models.session import make_engine

        done = export_sheet(make_engine(find_atlas()), run, file, n, seed)
        console.print(f"{done.slug}: {done.n_rows:,} labels written to {file}", markup=False)


@review.command("import")
def review_import(
    file: Annotated[Path, typer.Argument(help="CSV file that export wrote, with verdicts")],
    run: Run = None,
    reviewer: Reviewer = None,
) -> None:
    """Add the verdicts of a spreadsheet; what was said before is not said again."""
    with plain_errors():
        from feature_atlas.etl.labels.review_table import import_reviews
        from feature_atlas.etl.warehouse.migrate import open_atlas

        done = import_reviews(open_atlas(), run, file, signer(reviewer))
        console.print(
            f"{done.slug}: {done.n_new:,} verdicts added, {done.n_same:,} were there", markup=False
        )


def signer(reviewer: str | None) -> str:
    """Who signs what is written from the command line."""
    return reviewer or os.environ.get("ATLAS_REVIEWER") or getpass.getuser()
