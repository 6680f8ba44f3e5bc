"""The bundle is one that Neuronpedia's importer takes, and says what the atlas says."""

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from run_folder import write_run_folder
from sqlalchemy import Engine, text

from feature_atlas.etl.bridges.export_neuronpedia import (
    CREATOR,
    Bundle,
    export_neuronpedia,
    model_id,
)
from feature_atlas.etl.warehouse.load import ingest

# columns of Neuronpedia's own exports with the types of its schema.prisma
NEURON = {
    "modelId": "text", "layer": "text", "index": "text", "maxActApprox": "float8",
    "creatorId": "text", "frac_nonzero": "float8", "freq_hist_data_bar_heights": "float8[]",
    "freq_hist_data_bar_values": "float8[]", "logits_hist_data_bar_heights": "float8[]",
    "logits_hist_data_bar_values": "float8[]", "neuron_alignment_indices": "int[]",
    "neuron_alignment_l1": "float8[]", "neuron_alignment_values": "float8[]",
    "correlated_neurons_indices": "int[]", "correlated_neurons_l1": "float8[]",
    "correlated_neurons_pearson": "float8[]", "decoder_weights_dist": "float8[]",
    "neg_str": "text[]", "neg_values": "float8[]", "pos_str": "text[]", "pos_values": "float8[]",
    "sourceSetName": "text", "topkCosSimIndices": "int[]", "topkCosSimValues": "float8[]",
    "vector": "float8[]", "vectorLabel": "text", "hookName": "text",
    "vectorDefaultSteerStrength": "float8", "hasVector": "boolean",
}  # fmt: skip
ACTIVATION = {
    "id": "text", "modelId": "text", "layer": "text", "index": "text", "creatorId": "text",
    "dataSource": "text", "tokens": "text[]", "maxValue": "float8", "minValue": "float8",
    "values": "float8[]", "maxValueTokenIndex": "int", "dfaValues": "float8[]",
    "dfaMaxValue": "float8", "dfaTargetIndex": "int", "binContains": "float8", "binMin": "float8",
    "binMax": "float8",
}  # fmt: skip
EXPLANATION = {
    "id": "text", "modelId": "text", "layer": "text", "index": "text", "authorId": "text",
    "description": "text", "embedding": "text", "typeName": "text",
    "explanationModelName": "text", "umap_x": "float8", "umap_y": "float8", "umap_cluster": "int",
    "umap_log_feature_sparsity": "float8", "notes": "text", "createdAt": "timestamp",
}  # fmt: skip


def lines(folder: Path, kind: str) -> list[dict[str, Any]]:
    """All lines of a kind in the order of their batches."""
    files = sorted((folder / kind).glob("batch-*.jsonl.gz"), key=lambda p: int(p.name[6:-9]))
    return [json.loads(line) for file in files for line in gzip.open(file, "rt")]


@pytest.fixture(scope="module")
def bundle(loaded_engine: Engine, run_folder: Path, tmp_path_factory) -> Bundle:
    target = tmp_path_factory.mktemp("neuronpedia") / "out"
    return export_neuronpedia(loaded_engine, run_folder.name, target)


@pytest.fixture(scope="module")
def layer(bundle: Bundle, run_folder: Path) -> Path:
    return bundle.folder / "tiny-llava" / f"1-{run_folder.name}"


@pytest.mark.parametrize(
    ("kind", "columns"),
    [("features", NEURON), ("activations", ACTIVATION), ("explanations", EXPLANATION)],
)
def test_every_line_has_neuronpedias_columns(layer: Path, kind: str, columns: dict[str, str]):
    found = lines(layer, kind)

    assert found
    assert {tuple(sorted(line)) for line in found} == {tuple(sorted(columns))}


@pytest.mark.parametrize(
    ("kind", "columns"),
    [("features", NEURON), ("activations", ACTIVATION), ("explanations", EXPLANATION)],
)
def test_postgres_takes_the_lines_as_the_importer_gives_them(
    engine: Engine, layer: Path, kind: str, columns: dict[str, str]
):
    """Neuronpedia inserts from jsonb_to_recordset with the column types of its tables."""
    typed = ", ".join(f'"{name}" {type_}' for name, type_ in columns.items())
    found = lines(layer, kind)
    with engine.begin() as connection:
        connection.execute(text(f'CREATE TEMP TABLE "Peer" ({typed})'))
        connection.execute(
            text(f'INSERT INTO "Peer" SELECT * FROM jsonb_to_recordset(:lines) AS t ({typed})'),
            {"lines": json.dumps(found)},
        )
        taken = pd.read_sql(text('SELECT * FROM "Peer"'), connection)

    assert len(taken) == len(found)
    assert set(taken["modelId"]) == {"tiny-llava"}
    keys = {"features": ["modelId", "layer", "index"]}.get(kind, ["id"])
    assert not taken.duplicated(keys).any()


def test_features_say_what_the_atlas_says(
    bundle: Bundle, layer: Path, loaded_engine: Engine, run_folder: Path
):
    wide = pd.read_sql(
        "SELECT * FROM atlas.feature WHERE layer = 1 ORDER BY feature", loaded_engine
    )
    shown = pd.read_sql("SELECT feature, max_activation FROM atlas.example WHERE layer = 1",
                        loaded_engine).groupby("feature").max_activation.max()  # fmt: skip
    found = pd.DataFrame(lines(layer, "features"))

    assert bundle.n_features == 128
    assert found["index"].tolist() == [str(n) for n in range(64)]
    assert found["layer"].unique().tolist() == [f"1-{run_folder.name}"]
    assert found["frac_nonzero"].tolist() == pytest.approx(wide["firing_rate"].tolist())
    assert found["maxActApprox"].tolist() == [shown.get(n, 0) for n in range(64)]
    assert set(found["hookName"]) == {"blocks.1.hook_resid_post"}


def test_activations_say_what_the_atlas_says(layer: Path, loaded_engine: Engine):
    query = """SELECT * FROM atlas.example WHERE layer = 1 ORDER BY feature, source, rank"""
    expected, found = pd.read_sql(query, loaded_engine), pd.DataFrame(lines(layer, "activations"))

    for theirs, ours in {
        "tokens": "tokens",
        "values": "activations",
        "dataSource": "source",
        "maxValue": "max_activation",
        "maxValueTokenIndex": "max_token",
    }.items():
        assert found[theirs].tolist() == expected[ours].tolist()
    assert found["index"].tolist() == [str(n) for n in expected["feature"]]
    assert set(found["minValue"]) == {0}


def test_explanations_carry_description_and_score(layer: Path):
    first = lines(layer, "explanations")[0]

    assert first["description"] == "asks for left of"
    assert first["explanationModelName"] == "over-representation"
    assert first["typeName"] == "atlas_raw"
    assert first["notes"] == "F1 0.8 on 10 firing and 10 silent samples"
    assert (first["authorId"], first["embedding"]) == (CREATOR, None)


def test_the_registry_belongs_together(bundle: Bundle, layer: Path, run_folder: Path):
    read = {
        name: json.loads((layer / f"{name}.jsonl").read_text())
        for name in ("release", "model", "sourceset", "source")
    }
    words = (bundle.folder / "config/explanation_type.jsonl").read_text().splitlines()
    types = [json.loads(line) for line in words]

    assert read["source"]["id"] == layer.name
    assert read["source"]["setName"] == read["sourceset"]["name"] == run_folder.name
    assert read["sourceset"]["releaseName"] == read["release"]["name"]
    assert read["source"]["modelId"] == read["model"]["id"] == layer.parent.name
    assert {line["typeName"] for line in lines(layer, "explanations")} <= {t["name"] for t in types}


def test_files_hold_1024_features_each(engine: Engine, tmp_path: Path):
    folder = write_run_folder(tmp_path, layers=(3,), d_sae=1100, name="wide")
    ingest(folder, engine)
    done = export_neuronpedia(engine, folder.name, tmp_path / "out", creator="me")
    features = done.folder / "tiny-llava" / f"3-{folder.name}" / "features"

    texts = {p.name: gzip.decompress(p.read_bytes()).splitlines() for p in features.iterdir()}
    sizes = {name: len(text) for name, text in texts.items()}
    assert sizes == {"batch-0.jsonl.gz": 1024, "batch-1.jsonl.gz": 76}
    assert json.loads(texts["batch-1.jsonl.gz"][0])["creatorId"] == "me"


def test_the_same_run_is_the_same_bytes(
    bundle: Bundle, loaded_engine: Engine, run_folder: Path, tmp_path: Path
):
    again = export_neuronpedia(loaded_engine, run_folder.name, tmp_path / "again")

    files = sorted(p.relative_to(bundle.folder) for p in bundle.folder.rglob("*") if p.is_file())
    for file in files:
        assert (again.folder / file).read_bytes() == (bundle.folder / file).read_bytes()


def test_what_a_reviewer_rejected_is_left_out_and_what_she_wrote_goes_along(
    published_engine: Engine, run_folder: Path, tmp_path: Path
):
    engine, run = published_engine, 1
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO atlas.review (run_id, layer, feature, verdict, description, reviewer)"
                 " VALUES (:run, 0, 0, 'reject', NULL, 'Ada'), (:run, 0, 1, 'edit', 'a fox', 'Ada')"
                 ), {"run": run},
        )  # fmt: skip
    done = export_neuronpedia(engine, str(run), tmp_path / "out")
    found = pd.DataFrame(lines(done.folder / "tiny-llava" / f"0-{run_folder.name}", "explanations"))

    assert "0" not in set(found["index"])
    assert "a fox" in found[found["index"] == "1"]["description"].tolist()
    assert found["id"].is_unique


def test_model_names_become_ids():
    assert model_id("aimagelab/LLaVA-MORE-llama-3.1-8B") == "llava-more-llama-3.1-8b"
    assert model_id("Tiny World (2 layers)") == "tiny-world-2-layers"
    assert model_id("/home/me/..") == "model"  # it becomes the name of a folder
