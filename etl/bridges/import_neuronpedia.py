"""Labels of the base features, from a Neuronpedia export that lies on disk.

    <model>/<layer>-<set>/explanations/batch-N.jsonl.gz

e.g. `llama3.1-8b/12-llamascope-res-32k` for Llama Scope. The folder given is a model's, or that of
one layer. Every line is checked before anything is visible; a second import changes what changed.
"""

import re
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, cast

from sqlalchemy import Engine

from feature_atlas.etl.bridges.json_lines import Line, read_lines
from feature_atlas.etl.labels.base_label import Label, Written, write_labels
from feature_atlas.etl.warehouse.staging import Connection
from feature_atlas.models.storable_text import fault_of

PATTERNS = ("explanations*/batch-*.jsonl.gz", "explanations*/batch-*.jsonl")


class SaeSet(NamedTuple):
    """The base SAEs that labels are for."""

    id: int
    name: str
    layers: list[int]
    d_sae: int
    base_models: list[str]
    """What its runs call the language model."""


class Imported(NamedTuple):
    """What an import did."""

    sae_set: str
    """The base SAEs that the labels are of."""
    n_files: int
    """Files read."""
    labels: Written
    """Labels by what became of them."""


def import_neuronpedia(
    engine: Engine, folder: Path, sae_set: str | None = None, model: str | None = None
) -> Imported:
    """Import every explanation below a folder, or none of them.

    ``sae_set`` is the name or number of the base SAEs in the atlas; needed if there are several.
    ``model`` is what Neuronpedia calls their language model, if the names do not tell.
    """
    files = _explanation_files(folder)
    with engine.connect() as pooled:
        connection = cast(Connection, pooled.connection.driver_connection)
        with connection.transaction():
            described = _find_sae_set(connection, sae_set)
            _require_fit(files, described, model)
            labels = (_label(line, described) for file in files for line in read_lines(file))
            written = write_labels(connection, described.id, "neuronpedia", labels)
    return Imported(described.name, len(files), written)


def _explanation_files(folder: Path) -> list[Path]:
    """Batches of every layer below the folder, in the order of layers and batches."""
    found = [file for pattern in PATTERNS for file in folder.rglob(pattern)]
    if not found:
        raise FileNotFoundError(
            f"no <layer>-<set>/explanations/batch-N.jsonl.gz below {folder}: expected a model's "
            "folder of a Neuronpedia export, e.g. llama3.1-8b."
        )
    sets = sorted({_source(file)[1] for file in found})
    if len(sets) > 1:
        raise ValueError(
            f"{folder} holds the sets {', '.join(sets)}: import one at a time, from a folder "
            "with that set alone."
        )
    return sorted(found, key=lambda file: (_source(file)[0], file.parent.name, _number(file)))


def _source(file: Path) -> tuple[int, str]:
    """Layer and set of the folder that a batch lies in."""
    name = file.parents[1].resolve().name
    parts = re.fullmatch(r"(\d+)-(.+)", name)
    if parts is None:
        raise ValueError(f"{file}: expected it in a folder called <layer>-<set>, not {name!r}.")
    return int(parts[1]), parts[2]


def _number(file: Path) -> int:
    digits = re.search(r"\d+", file.name)
    return int(digits[0]) if digits else 0


def _find_sae_set(connection: Connection, wanted: str | None) -> SaeSet:
    rows = [SaeSet(*row) for row in connection.execute(SAE_SETS, {"wanted": wanted}).fetchall()]
    if len(rows) == 1:
        return rows[0]
    everything = connection.execute(SAE_SETS, {"wanted": None}).fetchall()
    there_are = ", ".join(f"{row[1]} (number {row[0]})" for row in everything) or "none"
    asked = "" if wanted is None else f" called {wanted!r}"
    raise ValueError(
        f"{len(rows)} sets of base SAEs{asked}; there are {there_are}. Say which with --sae-set, "
        "by number if the names are the same; a set comes with the first run that starts from it."
    )


def _require_fit(files: list[Path], sae_set: SaeSet, model: str | None) -> None:
    """Refuse labels of another model or of SAEs of another width: they would fit by number only."""
    bundle = files[0].parents[2].resolve().name
    names = sae_set.base_models if model is None else [model]
    if not any(_plain(bundle) in _plain(name) for name in names):
        raise ValueError(
            f"{files[0]} is of the model {bundle!r}; the base model of {sae_set.name} is "
            f"{' or '.join(map(repr, names))}. If that is the same model, say --model {bundle}."
        )
    name = _source(files[0])[1]
    thousands = re.search(r"-(\d+)k$", name)
    if thousands and int(thousands[1]) not in (sae_set.d_sae // 1000, sae_set.d_sae // 1024):
        raise ValueError(
            f"{files[0]} is of SAEs {thousands[1]}k wide, {sae_set.name} has {sae_set.d_sae} "
            "features per layer: these labels are of other SAEs."
        )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _label(line: Line, sae_set: SaeSet) -> Label:
    """A line's label, or an error that names the line."""
    layer, name = _source(line.file)
    _require_same(line, "modelId", line.file.parents[2].resolve().name)
    _require_same(line, "layer", f"{layer}-{name}")
    if layer not in sae_set.layers:
        raise line.refuse(f"layer {layer} has no SAE; {sae_set.name} has layers {sae_set.layers}")
    return Label(
        layer,
        _feature(line, sae_set.d_sae),
        _text(line, "description"),
        _text_or_none(line, "explanationModelName"),
        _text_or_none(line, "typeName"),
        _text(line, "id"),
        _moment(line),
        line.file,
        line.number,
    )


def _require_same(line: Line, field: str, expected: str) -> None:
    if _text(line, field) != expected:
        raise line.refuse(f"{field} is {line.value[field]!r}, the folder is that of {expected!r}")


def _feature(line: Line, d_sae: int) -> int:
    said = _text(line, "index")  # Neuronpedia's index is a text
    if not re.fullmatch(r"\d{1,9}", said) or int(said) >= d_sae:
        raise line.refuse(f"index is {said!r}, expected 0 to {d_sae - 1}")
    return int(said)


def _text(line: Line, field: str) -> str:
    value = line.value.get(field)
    if not isinstance(value, str) or not value:
        found = f"is {value!r}" if field in line.value else "is missing"
        raise line.refuse(f"{field} {found}, expected a text")
    if fault := fault_of(value):
        raise line.refuse(f"{field} contains {fault}")
    return value


def _text_or_none(line: Line, field: str) -> str | None:
    return None if line.value.get(field) is None else _text(line, field)


def _moment(line: Line) -> datetime | None:
    said = _text_or_none(line, "createdAt")
    try:
        return None if said is None else datetime.fromisoformat(said)
    except ValueError:
        raise line.refuse(f"createdAt is {said!r}, expected a time in ISO 8601") from None


SAE_SETS = """
    SELECT sae_set.id, sae_set.name, sae_set.layers, sae_set.d_sae,
        array_agg(DISTINCT vlm.base_name)
    FROM atlas.sae_set
    JOIN atlas.run ON run.sae_set_id = sae_set.id JOIN atlas.vlm ON vlm.id = run.vlm_id
    WHERE %(wanted)s::text IS NULL OR sae_set.id::text = %(wanted)s
        OR sae_set.name = %(wanted)s OR sae_set.release = %(wanted)s
    GROUP BY sae_set.id ORDER BY sae_set.id
"""
