"""`feature-atlas activations`: which features fire on a picture and question of one's own."""

from pathlib import Path
from typing import Any, NamedTuple, TextIO

from sqlalchemy import Connection, text

from feature_atlas.etl.inputs.pictures import open_image
from feature_atlas.etl.own_prompt.prompt_activations import (
    Asked,
    OneFeature,
    Order,
    PromptActivations,
    PromptToken,
    prompt_activations,
)
from feature_atlas.etl.own_prompt.run_model import RunModel, run_study
from feature_atlas.etl.printed_rows import print_rows
from feature_atlas.etl.terminal import console_on
from feature_atlas.etl.warehouse.migrate import find_atlas
from feature_atlas.etl.warehouse.runs import published_run
from feature_atlas.models.notation.csv_text import write_csv
from feature_atlas.models.notation.json_text import json_text
from feature_atlas.models.session import make_reader_engine

COLUMNS = ("layer", "feature", "strongest on", "activation", "times usual", "tokens", "label")


class Wanted(NamedTuple):
    """What was typed."""

    run: str | None
    """None: the newest."""
    image: Path
    question: str
    layers: list[int]
    """None named: all that the run studied."""
    top: int
    order: Order


def print_activations(home: Path, wanted: Wanted, output: str, stream: TextIO) -> None:
    """The strongest features; as JSON also every token's."""
    picture = open_image(wanted.image)
    with make_reader_engine(find_atlas()).connect() as connection:
        run = published_run(connection, wanted.run)
        model = RunModel(run_study(home, run))
        layers = studied_layers(wanted.layers, model)
        found = prompt_activations(
            model,
            Asked(
                picture,
                wanted.question.strip(),
                layers,
                n_features=wanted.top,
                order=wanted.order,
            ),
        )
        if output == "json":
            stream.write(f"{json_text(found.as_json())}\n")
            return
        rows = feature_rows(found, wanted.order, labels(connection, run.id, found))
    _print(found, rows, output, stream)


def studied_layers(asked: list[int], model: RunModel) -> tuple[int, ...]:
    """Those asked for, or all that the run studied."""
    studied = model.study.layers
    for layer in asked:
        if layer not in studied:
            raise ValueError(f"layer {layer} is not studied; expected some of {studied}.")
    return tuple(asked or studied)


def feature_rows(
    found: PromptActivations, order: Order, labels: dict[tuple[int, int], str]
) -> list[dict[str, Any]]:
    """A row for each feature, with the token on which it is strongest."""
    rows = []
    for one in found.features:
        strengths = one.strengths(order)
        peak = strengths.index(max(strengths))
        label = labels.get((one.layer, one.feature))
        cells = (
            *(one.layer, one.feature, token_in_words(found.tokens[one.tokens[peak]])),
            *(one.activations[peak], one.times_usual[peak], len(one.tokens), label),
        )
        rows.append(dict(zip(COLUMNS, cells, strict=True)))
    return rows


def token_in_words(token: PromptToken) -> str:
    """A word of the prompt, or a patch by its corners in the picture."""
    if token.role != "image":
        return f"{token.text!r}, {token.role}"
    if token.box is None:
        return "a patch without a place"
    left, top, right, bottom = (round(edge) for edge in token.box)
    return f"patch {left},{top} to {right},{bottom}"


def labels(
    connection: Connection, run_id: int, found: PromptActivations
) -> dict[tuple[int, int], str]:
    """What features are said to mean, where that is known."""
    rows = connection.execute(text(LABELS), {"run": run_id, **_keys(found.features)})
    return {(layer, feature): label for layer, feature, label in rows}


def _keys(features: list[OneFeature]) -> dict[str, list[int]]:
    return {
        "layers": [one.layer for one in features],
        "features": [one.feature for one in features],
    }


def _print(
    found: PromptActivations, rows: list[dict[str, Any]], output: str, stream: TextIO
) -> None:
    if output == "csv":
        write_csv(stream, COLUMNS, [list(row.values()) for row in rows])
        return
    console = console_on(stream)
    said = f"{found.run} answers {found.answer!r} to {found.question!r}"
    console.print(said, markup=False, highlight=False)
    print_rows(console, "Strongest features", rows)


LABELS = """
SELECT layer, feature, label FROM atlas.feature_label
JOIN unnest(cast(:layers AS int[]), cast(:features AS int[])) AS shown (layer, feature)
    USING (layer, feature)
WHERE run_id = :run AND label IS NOT NULL
"""
