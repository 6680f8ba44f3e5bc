"""`feature-atlas activations`, `overlay`, `serve-model`: pictures and questions of one's own."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from feature_atlas.etl.terminal import Format, console, plain_errors
from feature_atlas.models.session import atlas_home

Image = Annotated[Path, typer.Option(help="any picture")]
Question = Annotated[str, typer.Option(help="what to ask about it")]
OfRun = Annotated[
    str | None, typer.Option("--run", help="slug or id; default: the newest published run")
]


class By(StrEnum):
    """What is called strong."""

    ACTIVATION = "activation"
    TIMES_USUAL = "times_usual"


def activations(
    image: Image,
    question: Question,
    run: OfRun = None,
    layers: Annotated[
        list[int] | None, typer.Option("--layer", min=0, help="one of several; default: all")
    ] = None,
    top: Annotated[
        int, typer.Option(min=1, max=1000, help="features of the picture, and of the text")
    ] = 25,
    by: Annotated[
        By, typer.Option(help="rank by activation, or by how unusual that is for the feature")
    ] = By.ACTIVATION,
    output: Annotated[Format, typer.Option("--format", help="how to print")] = Format.TABLE,
) -> None:
    """Which features fire on a picture and question of your own, strongest first.

    As JSON also which are strongest on each token and patch.
    """
    with plain_errors():
        from feature_atlas.etl.commands.activations import Wanted, print_activations
        from feature_atlas.etl.own_prompt.prompt_activations import Order

        wanted = Wanted(run, image, question, layers or [], top, Order(by.value))
        print_activations(atlas_home(), wanted, output.value, sys.stdout)


def overlay(
    run: Annotated[str, typer.Argument(help="slug, the start of one, or id")],
    layer: Annotated[int, typer.Option(min=0, help="decoder layer of the feature")],
    feature: Annotated[int, typer.Option(min=0, help="its index in the dictionary")],
    image: Image,
    question: Question,
) -> None:
    """Where a feature's heads look on a picture and question of your own; kept with the run."""
    with plain_errors():
        from feature_atlas.etl.own_prompt.custom_overlay import Asked, overlay_custom
        from feature_atlas.etl.stages.features.feature_choice import Feature
        from feature_atlas.etl.warehouse.migrate import open_atlas

        asked = Asked(Feature(layer, feature), image, question)
        overlay_custom(open_atlas(), atlas_home(), run, asked, console)


def serve_model(
    run: OfRun = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port on this machine")] = 8502,
) -> None:
    """Hold a run's model and dictionaries on 127.0.0.1 for the page Try it, until interrupted."""
    with plain_errors():
        from feature_atlas.etl.commands.serve_model import serve_model as serve

        serve(atlas_home(), run, port, console)
