"""Labels of base features come from Neuronpedia's files whole, or not at all."""

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Engine, text

from feature_atlas.etl.bridges.export_neuronpedia import export_neuronpedia
from feature_atlas.etl.bridges.import_neuronpedia import import_neuronpedia
from feature_atlas.etl.labels.base_label import Written

SET = "llamascope-res-32k"


def explanation(number: int, layer: int = 12, index: int = 7, **other: Any) -> dict[str, Any]:
    """A line of an explanations file with Neuronpedia's fields."""
    return {
        "id": f"cm{number:022d}",
        "modelId": "llama3.1-8b",
        "layer": f"{layer}-{SET}",
        "index": str(index),
        "description": f" references to left, number {number}",
        "authorId": "clkht01d40000jv08hvalcvly",
        "typeName": "oai_token-act-pair",
        "explanationModelName": "gpt-4o-mini",
        "embedding": "[0.1,0.2]",
        "notes": None,
        "createdAt": "2024-11-06T03:21:41.711Z",
    } | other


def write_batch(folder: Path, layer: int, lines: list[dict[str, Any]], batch: int = 0) -> Path:
    """A file of explanations where Neuronpedia's exports have it."""
    file = folder / "llama3.1-8b" / f"{layer}-{SET}" / "explanations" / f"batch-{batch}.jsonl.gz"
    file.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(file, "wt") as opened:
        opened.writelines(json.dumps(line) + "\n" for line in lines)
    return file


@pytest.fixture
def llama(engine: Engine) -> Engine:
    """An atlas that has begun a run on Llama Scope: 32 layers of 32,768 features."""
    with engine.begin() as connection:
        connection.execute(text(LLAMA))
    return engine


LLAMA = """
    INSERT INTO atlas.vlm (name, fingerprint, architecture, n_layers, d_model, n_heads, n_kv_heads,
        base_name) VALUES ('LLaVA-MORE', 'v', 'Llava', 32, 4096, 32, 8,
        'Llama-3.1-8B (the VLM itself was tuned from Llama-3.1-8B-Instruct)');
    INSERT INTO atlas.sae_set (name, release, fingerprint, gate, k, d_sae, d_model, hook_site,
        layers, activation_scale) SELECT 'llama-scope', 'llama_scope_lxr_8x', 's', 'topk', 50,
        32768, 4096, 'resid_post', array_agg(n), array_agg(1.0)
        FROM generate_series(0, 31) AS n;
    INSERT INTO atlas.run (slug, config, config_hash, vlm_id, sae_set_id, code_version, dirty,
        state, n_layers, d_sae, checksum)
        VALUES ('r', '{}', repeat('0', 64), 1, 1, 'x', false, 'building', 32, 32768, 'x');
"""


def labels(engine: Engine) -> pd.DataFrame:
    return pd.read_sql("SELECT * FROM atlas.base_label ORDER BY id", engine)


def test_every_field_arrives(llama: Engine, tmp_path: Path):
    write_batch(tmp_path, 12, [explanation(1), explanation(2, index=32_767)])
    write_batch(tmp_path, 3, [explanation(3, layer=3, index=0, createdAt=None)])
    done = import_neuronpedia(llama, tmp_path / "llama3.1-8b")
    found = labels(llama)

    assert (done.sae_set, done.n_files, done.labels) == ("llama-scope", 2, Written(3, 0, 0))
    assert found[["layer", "feature"]].to_numpy().tolist() == [[3, 0], [12, 7], [12, 32_767]]
    second = found.iloc[1]
    assert second["description"] == " references to left, number 1"
    assert (second["model"], second["method"]) == ("gpt-4o-mini", "oai_token-act-pair")
    assert (second["source"], second["external_id"]) == ("neuronpedia", f"cm{1:022d}")
    assert second["written_at"] == pd.Timestamp("2024-11-06T03:21:41.711Z")
    assert pd.isna(found["written_at"][0])


def test_importing_again_changes_what_changed_and_says_so(llama: Engine, tmp_path: Path):
    write_batch(tmp_path, 12, [explanation(n) for n in range(5)])
    import_neuronpedia(llama, tmp_path)
    before = labels(llama)

    assert import_neuronpedia(llama, tmp_path).labels == Written(0, 0, 5)
    pd.testing.assert_frame_equal(labels(llama), before)

    write_batch(tmp_path, 12, [explanation(4, description="better"), explanation(9)])
    assert import_neuronpedia(llama, tmp_path).labels == Written(1, 1, 0)
    assert labels(llama)["description"].tolist()[-2:] == ["better", " references to left, number 9"]


def test_batches_of_several_explainers_and_plain_files_are_read(llama: Engine, tmp_path: Path):
    file = write_batch(tmp_path, 12, [explanation(1)])
    other = file.parents[1] / "explanations-claude" / "batch-0.jsonl"
    other.parent.mkdir()
    other.write_text(json.dumps(explanation(2, explanationModelName="claude")) + "\n\n")

    assert import_neuronpedia(llama, file.parents[1]).labels.n_new == 2


def spoiled(file: Path, keep: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * keep)])


def rewritten(file: Path, text: str) -> None:
    with gzip.open(file, "at") as opened:
        opened.write(text)


def appended(**other: Any):
    return lambda file: rewritten(file, json.dumps(explanation(500, **other)) + "\n")


def without(field: str):
    def spoil(file: Path) -> None:
        line = explanation(500)
        del line[field]
        rewritten(file, json.dumps(line) + "\n")

    return spoil


BAD = {
    "a truncated file": (lambda file: spoiled(file, 0.6), "it is truncated or no gzip"),
    "no gzip": (lambda file: file.write_text("hello"), "it is truncated or no gzip"),
    "no JSON": (lambda file: rewritten(file, '{"id": \n'), "line 301: not JSON"),
    "no UTF-8": (
        lambda file: file.write_bytes(gzip.compress(b'{"id": "\xff"}\n')),
        "line 1: not JSON",
    ),
    "no object": (lambda file: rewritten(file, "[1]\n"), "line 301: holds list"),
    "another model": (
        appended(modelId="gemma-2-2b"),
        "line 301: modelId is 'gemma-2-2b', the folder is that of 'llama3.1-8b'",
    ),
    "another layer": (appended(layer=13), "line 301: layer is '13-llamascope-res-32k'"),
    "a feature out of range": (appended(index=32_768), "index is '32768', expected 0 to 32767"),
    "a negative feature": (appended(index=-1), "index is '-1', expected 0 to 32767"),
    "an index that is a number": (
        lambda file: rewritten(file, json.dumps({**explanation(500), "index": 5}) + "\n"),
        "index is 5, expected a text",
    ),
    "no id": (without("id"), "line 301: id is missing, expected a text"),
    "no description": (without("description"), "line 301: description is missing"),
    "an empty description": (appended(description=""), "description is '', expected a text"),
    "a zero byte": (appended(description="a\0b"), "description contains a zero byte"),
    **{
        f"half a character in {field}": (
            appended(**{field: "a \udcff b"}),
            f"line 301: {field} contains half a character ('\\udcff')",
        )
        for field in ("description", "id", "typeName", "explanationModelName")
    },
    "brackets without end": (
        lambda file: rewritten(file, "[" * 99_999 + "\n"),
        "line 301: not JSON",
    ),
    "an odd time": (appended(createdAt="yesterday"), "createdAt is 'yesterday'"),
    "the same id twice": (
        lambda file: rewritten(file, json.dumps(explanation(17)) + "\n"),
        "line 301: id 'cm0000000000000000000017' comes twice, first in",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_is_named_and_nothing_is_imported(what: str, llama: Engine, tmp_path: Path):
    write_batch(tmp_path, 3, [explanation(n, layer=3) for n in range(1000, 1003)])
    file = write_batch(tmp_path, 12, [explanation(n) for n in range(300)])
    spoil, complaint = BAD[what]
    spoil(file)

    with pytest.raises(ValueError) as refused:
        import_neuronpedia(llama, tmp_path)
    assert complaint in str(refused.value)
    assert str(file) in str(refused.value)
    assert labels(llama).empty


def test_the_same_id_in_two_files_is_named_with_both(llama: Engine, tmp_path: Path):
    one = write_batch(tmp_path, 3, [explanation(1, layer=3)])
    two = write_batch(tmp_path, 12, [explanation(2), explanation(1)])

    with pytest.raises(ValueError) as refused:
        import_neuronpedia(llama, tmp_path)
    assert f"{two}, line 2: id" in str(refused.value)
    assert f"first in {one}, line 1" in str(refused.value)


def test_a_layer_without_sae_is_refused(llama: Engine, tmp_path: Path):
    write_batch(tmp_path, 32, [explanation(1, layer=32)])

    with pytest.raises(ValueError, match="line 1: layer 32 has no SAE; llama-scope has layers"):
        import_neuronpedia(llama, tmp_path)


def test_labels_of_wider_saes_are_refused(llama: Engine, tmp_path: Path):
    file = write_batch(tmp_path, 12, [explanation(1)])
    file.parents[1].rename(file.parents[2] / "12-llamascope-res-131k")

    with pytest.raises(ValueError, match="131k wide, llama-scope has 32768 features"):
        import_neuronpedia(llama, tmp_path)


def test_labels_of_another_model_are_refused_unless_it_is_said_to_be_the_same(
    llama: Engine, tmp_path: Path
):
    file = write_batch(tmp_path, 12, [explanation(1, modelId="llama-8b")])
    file.parents[2].rename(tmp_path / "llama-8b")

    with pytest.raises(ValueError, match=r"say --model llama-8b"):
        import_neuronpedia(llama, tmp_path)
    assert import_neuronpedia(llama, tmp_path, model="llama-8b").labels.n_new == 1


def test_two_sets_are_not_mixed(llama: Engine, tmp_path: Path):
    file = write_batch(tmp_path, 12, [explanation(1)])
    other = file.parents[2] / "12-llamascope-mlp-32k" / "explanations"
    other.mkdir(parents=True)
    (other / "batch-0.jsonl").write_text("")

    with pytest.raises(ValueError, match="the sets llamascope-mlp-32k, llamascope-res-32k"):
        import_neuronpedia(llama, tmp_path)


def test_a_folder_without_explanations_is_no_folder_of_labels(llama: Engine, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"explanations/batch-N\.jsonl\.gz below"):
        import_neuronpedia(llama, tmp_path)


def test_the_base_saes_are_named_where_there_are_several(llama: Engine, tmp_path: Path):
    with llama.begin() as connection:
        other = LLAMA.replace("'s',", "'t',").replace("'v',", "'w',").replace("'0'", "'1'")
        connection.execute(text(other.replace("1, 1, 'x'", "2, 2, 'x'")))
    write_batch(tmp_path, 12, [explanation(1)])

    with pytest.raises(ValueError, match=r"2 sets .* llama-scope \(number 1\), llama-scope \(num"):
        import_neuronpedia(llama, tmp_path)
    with pytest.raises(ValueError, match="0 sets of base SAEs called 'other'"):
        import_neuronpedia(llama, tmp_path, sae_set="other")
    import_neuronpedia(llama, tmp_path, sae_set="2")
    assert labels(llama)["sae_set_id"].tolist() == [2]


def test_a_run_sees_the_newest_label_of_its_base_features(published_engine: Engine, tmp_path: Path):
    engine = published_engine
    for number, said in enumerate(["old", "new"]):
        line = explanation(number, modelId="tiny-llama", layer=1, index=5, description=said)
        file = write_batch(tmp_path / str(number), 1, [line | {"layer": "1-tiny-res"}])
        file.parents[2].rename(tmp_path / str(number) / "tiny-llama")
        place = tmp_path / str(number) / "tiny-llama"
        (place / f"1-{SET}").rename(place / "1-tiny-res")
        import_neuronpedia(engine, place)
    view = pd.read_sql("SELECT * FROM atlas.base_label_of_feature", engine)

    assert view[["run_id", "layer", "feature", "base_label"]].to_numpy().tolist() == [
        [1, 1, 5, "new"]
    ]


def test_what_the_atlas_exports_it_can_import(
    published_engine: Engine, run_folder: Path, tmp_path: Path
):
    engine = published_engine
    bundle = export_neuronpedia(engine, run_folder.name, tmp_path / "out")
    import_neuronpedia(engine, bundle.folder, model="tiny-llava")
    written = pd.read_sql("SELECT * FROM atlas.auto_interp ORDER BY layer, feature, id", engine)

    for ours, theirs in (("layer", "layer"), ("feature", "feature"), ("model", "model"),
                         ("description", "description")):  # fmt: skip
        assert labels(engine)[theirs].tolist() == written[ours].tolist()
