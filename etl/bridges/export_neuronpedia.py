"""A run as a bundle that Neuronpedia imports: features, activations and explanations per layer.

    <model>/<layer>-<set>/release.jsonl, model.jsonl, sourceset.jsonl, source.jsonl
    <model>/<layer>-<set>/features/batch-N.jsonl.gz        table Neuron
    <model>/<layer>-<set>/activations/batch-N.jsonl.gz     table Activation
    <model>/<layer>-<set>/explanations/batch-N.jsonl.gz    table Explanation
    config/explanation_type.jsonl, config/explanation_model_type.jsonl

The set is named by the run's slug: two runs lie side by side, neither hides the other. Rows are
streamed; a million features need no more memory than a thousand. `docs/bridges.md` has the mapping.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine

from feature_atlas.etl.bridges.export_rows import stream
from feature_atlas.etl.bridges.export_target import new_folder
from feature_atlas.etl.bridges.exported_run import ExportedRun, open_exported
from feature_atlas.etl.bridges.json_lines import BATCH, write_batches, write_lines
from feature_atlas.etl.bridges.neuronpedia_columns import (
    Place,
    activation,
    explanation,
    explanation_model_type,
    explanation_type,
    model,
    neuron,
    source,
    source_release,
    source_set,
)
from feature_atlas.etl.warehouse.staging import Connection

CREATOR = "clkht01d40000jv08hvalcvly"
"""The user that every fresh Neuronpedia has; rows must belong to someone."""


class Bundle(NamedTuple):
    """What an export wrote."""

    folder: Path
    n_features: int
    n_activations: int
    n_explanations: int


def export_neuronpedia(engine: Engine, name: str, target: Path, creator: str = CREATOR) -> Bundle:
    """Write the bundle of a published run into a new folder."""
    with open_exported(engine, name) as (connection, run), new_folder(target) as folder:
        counts = [_export_layer(connection, place, folder) for place in _places(run, creator)]
        _write_config(connection, run, creator, folder / "config")
    return Bundle(target, *(sum(column) for column in zip(*counts, strict=True)))


def model_id(name: str) -> str:
    """A model's name as Neuronpedia's ids are: lower case, no other signs."""
    return re.sub(r"[^a-z0-9._]+", "-", name.rsplit("/", 1)[-1].lower()).strip("-.") or "model"


def _places(run: ExportedRun, creator: str) -> Iterator[Place]:
    for layer in run.layers:
        yield Place(run, layer, model_id(run.vlm), f"{layer}-{run.slug}", creator)


def _export_layer(connection: Connection, place: Place, folder: Path) -> tuple[int, int, int]:
    """One layer's folder; how many features, activations and explanations it holds."""
    here = folder / place.model_id / place.source_id
    write_lines(here / "release.jsonl", [source_release(place)])
    write_lines(here / "model.jsonl", [model(place)])
    write_lines(here / "sourceset.jsonl", [source_set(place)])
    write_lines(here / "source.jsonl", [source(place)])
    return (
        write_batches(here / "features", _features(connection, place)),
        write_batches(here / "activations", _activations(connection, place)),
        write_batches(here / "explanations", _explanations(connection, place)),
    )


def _features(connection: Connection, place: Place) -> Iterator[tuple[int, dict[str, Any]]]:
    for feature, firing_rate, strongest in stream(connection, FEATURES, _values(place)):
        yield feature // BATCH, neuron(place, feature, firing_rate, strongest)


def _activations(connection: Connection, place: Place) -> Iterator[tuple[int, dict[str, Any]]]:
    for feature, *values in stream(connection, ACTIVATIONS, _values(place)):
        yield feature // BATCH, activation(place, feature, *values)


def _explanations(connection: Connection, place: Place) -> Iterator[tuple[int, dict[str, Any]]]:
    for row, values in enumerate(stream(connection, EXPLANATIONS, _values(place))):
        yield row // BATCH, explanation(place, *values)


def _write_config(connection: Connection, run: ExportedRun, creator: str, folder: Path) -> None:
    """The words that explanations refer to: Neuronpedia wants them before the explanations."""
    rows = connection.execute(
        "SELECT DISTINCT model FROM atlas.auto_interp WHERE run_id = %s ORDER BY model", (run.id,)
    ).fetchall()
    write_lines(
        folder / "explanation_type.jsonl",
        [explanation_type(word, creator) for word in ("raw", "overlay", "review")],
    )
    write_lines(
        folder / "explanation_model_type.jsonl",
        [explanation_model_type(name) for (name,) in rows],
    )


def _values(place: Place) -> dict[str, Any]:
    return {"run": place.run.id, "layer": place.layer}


FEATURES = """
    SELECT record.feature, record.firing_rate, coalesce(strongest.activation, 0)
    FROM atlas.feature_record AS record
    LEFT JOIN (
        SELECT feature, max(max_activation) AS activation FROM atlas.example
        WHERE run_id = %(run)s AND layer = %(layer)s GROUP BY feature
    ) AS strongest USING (feature)
    WHERE record.run_id = %(run)s AND record.layer = %(layer)s
    ORDER BY record.feature
"""

ACTIVATIONS = """
    SELECT feature, source, rank, tokens, activations, max_activation, max_token
    FROM atlas.example WHERE run_id = %(run)s AND layer = %(layer)s
    ORDER BY feature, source, rank
"""

# the newest verdict of a person counts: a rejected description stays here, an edited one goes
EXPLANATIONS = """
    WITH opinion AS (
        SELECT DISTINCT ON (feature) feature, verdict, description, created_at
        FROM atlas.review WHERE run_id = %(run)s AND layer = %(layer)s
        ORDER BY feature, created_at DESC, id DESC
    ), said AS (
        SELECT interp.feature, interp.description, lower(interp.variant) AS type, interp.model,
            interp.f1, interp.n_positive, interp.n_negative, measurement.finished_at AS at,
            0 AS place, interp.id
        FROM atlas.auto_interp AS interp
        JOIN atlas.measurement ON measurement.id = interp.measurement_id
        LEFT JOIN opinion USING (feature)
        WHERE interp.run_id = %(run)s AND interp.layer = %(layer)s
            AND opinion.verdict IS DISTINCT FROM 'reject'
        UNION ALL
        SELECT feature, description, 'review', NULL, NULL, NULL, NULL, created_at, 1, 0
        FROM opinion WHERE verdict = 'edit' AND description IS NOT NULL
    )
    SELECT feature, row_number() OVER (PARTITION BY feature ORDER BY place, id) - 1, description,
        type, model, f1, n_positive, n_negative, at
    FROM said ORDER BY feature, place, id
"""
