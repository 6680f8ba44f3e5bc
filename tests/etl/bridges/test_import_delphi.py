"""Delphi's results become rows of a published run, with every answer counted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from delphi_folder import EXPLANATIONS, SCORES, example, write, write_delphi
from sqlalchemy import Engine, text

from feature_atlas.etl.bridges.export_delphi import export_delphi
from feature_atlas.etl.bridges.import_delphi import import_delphi
from feature_atlas.etl.warehouse.migrate import downgrade, migrate


@pytest.fixture
def delphi(tmp_path: Path) -> Path:
    return write_delphi(tmp_path / "delphi")


@pytest.fixture
def published(published_engine: Engine) -> Engine:
    return published_engine


def imported(engine: Engine) -> pd.DataFrame:
    query = """
        SELECT * FROM atlas.auto_interp WHERE explainer = 'delphi' ORDER BY layer, feature, scorer
    """
    return pd.read_sql(query, engine)


def test_every_scored_explanation_becomes_a_row(published: Engine, run_folder: Path, delphi: Path):
    done = import_delphi(published, run_folder.name, delphi)
    rows = imported(published)

    assert done.report.rows == {"auto_interp": 3}
    places = rows[["layer", "feature", "scorer"]].to_numpy().tolist()
    assert places == [[0, 5, "detection"], [0, 5, "fuzz"], [1, 63, "detection"]]
    assert rows["description"].tolist() == [
        EXPLANATIONS["layers.0_latent5"], EXPLANATIONS["layers.0_latent5"], "Éclairs"
    ]  # fmt: skip
    assert set(rows["model"]) == {"hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4"}


def test_counts_are_those_of_delphi_itself_where_every_answer_was_read(
    published: Engine, run_folder: Path, delphi: Path
):
    import_delphi(published, run_folder.name, delphi)
    row = imported(published).iloc[0]

    examples = pd.DataFrame(
        json.loads((delphi / "scores/detection/layers.0_latent5.txt").read_text())
    )
    firing, said = examples.activating.to_numpy(), examples.prediction.to_numpy().astype(bool)
    tp, fp = int((firing & said).sum()), int((~firing & said).sum())
    precision, recall = tp / (tp + fp), tp / firing.sum()
    assert (row.true_positive, row.false_positive) == (tp, fp)
    assert (row.n_positive, row.n_negative, row.n_failed) == (3, 2, 0)
    assert row.f1 == pytest.approx(2 * precision * recall / (precision + recall))
    assert row.balanced_accuracy == pytest.approx((recall + (~said)[~firing].mean()) / 2)
    assert row.mcc == pytest.approx(np.corrcoef(firing, said)[0, 1])


def test_an_unreadable_answer_is_a_wrong_one_and_counted(
    published: Engine, run_folder: Path, delphi: Path
):
    import_delphi(published, run_folder.name, delphi)
    fuzz = imported(published).iloc[1]

    assert fuzz.n_failed == 2
    counts = ["true_positive", "false_positive", "false_negative", "true_negative"]
    assert fuzz[counts].tolist() == [1, 1, 1, 2]


def test_explanations_without_a_score_are_reported(
    published: Engine, run_folder: Path, delphi: Path
):
    write(delphi / "scores/fuzz/layers.1_latent63.txt", [example(1, True)])
    done = import_delphi(published, run_folder.name, delphi)

    assert (done.n_unscored, done.n_one_sided) == (1, 1)


def test_the_rows_are_an_addition_that_says_where_they_come_from(
    published: Engine, run_folder: Path, delphi: Path
):
    import_delphi(published, run_folder.name, delphi)
    query = """
        SELECT made.params -> 'run_config' ->> 'explainer_model', seeds, added_at IS NOT NULL, rows
        FROM atlas.measurement AS made JOIN atlas.auto_interp ON measurement_id = made.id
        WHERE explainer = 'delphi' LIMIT 1
    """
    with published.connect() as connection:
        said = tuple(connection.execute(text(query)).one())

    assert said == ("hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4", [22], True, 3)


def test_importing_twice_changes_nothing(published: Engine, run_folder: Path, delphi: Path):
    import_delphi(published, run_folder.name, delphi)
    again = import_delphi(published, run_folder.name, delphi)

    assert again.report.status == "already there"
    assert len(imported(published)) == 3


def test_of_a_delphi_run_that_went_on_the_new_latents_are_added(
    published: Engine, run_folder: Path, delphi: Path
):
    import_delphi(published, run_folder.name, delphi)
    before = imported(published)
    for number in (2, 7):  # Delphi goes on, twice
        latent = f"layers.1_latent{number}"
        write(delphi / "explanations" / f"{latent}.txt", f"Number {number}.")
        write(delphi / "scores" / "fuzz" / f"{latent}.txt", [example(1, True), example(0, False)])
        assert import_delphi(published, run_folder.name, delphi).report.rows == {"auto_interp": 1}
        again = import_delphi(published, run_folder.name, delphi)
        assert again.report.status == "already there"

    after = imported(published)
    assert set(after["description"]) - set(before["description"]) == {"Number 2.", "Number 7."}
    assert after["measurement_id"].nunique() == 3
    pd.testing.assert_frame_equal(
        after[after["id"].isin(before["id"])].reset_index(drop=True), before
    )

    write(delphi / "explanations" / "layers.1_latent2.txt", "Otherwise.")
    with pytest.raises(ValueError, match="layer 1 feature 2 otherwise than when it was imported"):
        import_delphi(published, run_folder.name, delphi)


def test_what_is_exported_can_be_imported_and_counts_the_same(
    published: Engine, run_folder: Path, delphi: Path, tmp_path: Path
):
    import_delphi(published, run_folder.name, delphi)
    done = export_delphi(published, run_folder.name, tmp_path / "out")
    again = json.loads((done.folder / "scores/fuzz/layers.0_latent5.txt").read_text())

    assert set(again[0]) == set(example(1, True))
    assert json.loads((done.folder / "explanations/layers.1_latent63.txt").read_text()) == "Éclairs"

    def counted(examples: list[dict[str, Any]]) -> dict[tuple, int]:
        frame = pd.DataFrame(examples)[["activating", "prediction"]].astype(str)
        return frame.value_counts().to_dict()

    for (scorer, latent), answers in SCORES.items():
        exported = json.loads((done.folder / "scores" / scorer / f"{latent}.txt").read_text())
        assert counted(exported) == counted([example(*a) for a in answers])
    report = import_delphi(published, run_folder.name, done.folder)
    assert report.report.rows["auto_interp"] == done.n_scores


def test_a_feature_is_exported_with_its_best_description(
    loaded_engine: Engine, run_folder: Path, tmp_path: Path
):
    done = export_delphi(loaded_engine, run_folder.name, tmp_path / "out")

    assert (done.n_explanations, done.n_scores) == (8, 8)
    said = json.loads((done.folder / "explanations/layers.1_latent0.txt").read_text())
    assert said == "asks for left of"  # F1 0.8, the other description has 0.6
    scores = json.loads((done.folder / "scores/detection/layers.1_latent0.txt").read_text())
    assert sum(entry["correct"] for entry in scores) == 16


BAD = {
    "a truncated file": (
        "scores/fuzz/layers.0_latent5.txt",
        '[{"activating": true, "predic',
        "layers.0_latent5.txt: is not whole JSON",
    ),
    "no list": ("scores/fuzz/layers.0_latent5.txt", '{"a": 1}', "expected a list of examples"),
    "no prediction": (
        "scores/fuzz/layers.0_latent5.txt",
        '[{"activating": true}]',
        "example 0 has no prediction",
    ),
    "an odd prediction": (
        "scores/fuzz/layers.0_latent5.txt",
        '[{"activating": true, "prediction": "yes"}]',
        "prediction is 'yes'",
    ),
    "an odd truth": (
        "scores/fuzz/layers.0_latent5.txt",
        '[{"activating": null, "prediction": true}]',
        "activating is None",
    ),
    "a feature out of range": (
        "scores/fuzz/layers.0_latent64.txt",
        "[]",
        "feature is 64, expected 0 to 63",
    ),
    "a layer without SAE": ("scores/fuzz/layers.7_latent5.txt", "[]", "layer 7 has no SAE"),
    "another hook": ("scores/fuzz/layers.0.mlp_latent5.txt", "[]", "the output of a layer"),
    "the same latent twice": (
        "scores/fuzz/model.layers.0_latent5.txt",
        "[]",
        "layer 0, feature 5 comes twice",
    ),
    "a score without explanation": (
        "scores/fuzz/layers.0_latent6.txt",
        json.dumps([example(1, True), example(0, True)]),
        "not in explanations/",
    ),
    "no text": ("explanations/layers.0_latent5.txt", "[1]", "expected a text in quotes"),
    "a zero byte": ("explanations/layers.0_latent5.txt", '"a\\u0000"', "zero byte"),
    "half a character": (
        "explanations/layers.0_latent5.txt",
        '"a \\ud83d b"',
        "contains half a character ('\\ud83d')",
    ),
    "half a character among the settings": (
        "run_config.json",
        '{"explainer_model": "m", "note": "\\udc00"}',
        "note holds half a character",
    ),
    "settings in the wrong encoding": ("run_config.json", "\x00", "it is no JSON"),
    "no settings": ("run_config.json", "{}", "names no explainer_model"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_files_are_named_and_nothing_is_imported(
    what: str, loaded_engine: Engine, run_folder: Path, delphi: Path
):
    file, content, complaint = BAD[what]
    (delphi / file).write_text(content)

    with pytest.raises(ValueError) as refused:
        import_delphi(loaded_engine, run_folder.name, delphi)
    assert complaint in str(refused.value)
    assert Path(file).name in str(refused.value)
    assert imported(loaded_engine).empty


def test_an_older_schema_keeps_what_the_atlas_described_itself(
    published: Engine, run_folder: Path, delphi: Path
):
    before = pd.read_sql("SELECT id, description FROM atlas.auto_interp ORDER BY id", published)
    import_delphi(published, run_folder.name, delphi)
    downgrade(published, "20261122_08_additions")
    kept = pd.read_sql("SELECT id, description FROM atlas.auto_interp ORDER BY id", published)

    pd.testing.assert_frame_equal(kept, before)
    migrate(published)
    assert import_delphi(published, run_folder.name, delphi).report.rows == {"auto_interp": 3}
