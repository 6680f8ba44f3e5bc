"""Folders with wrong rows: the file and the row are named, and nothing is loaded."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from loading import refusal
from run_folder import read_rows, replace_rows, replace_value
from sqlalchemy import CheckConstraint, Engine

from feature_atlas.etl.run_folder.row_rules import RULES
from feature_atlas.etl.run_folder.table_rows import DENSE, SPARSE, WHAT, table_of

NAN, INF = float("nan"), float("inf")

VALUES = [
    ("decoder_cosine", "cosine", 70, NAN, "cosine is nan, expected -1 to 1"),
    ("decoder_cosine", "cosine", 3, 1.5, "cosine is 1.5, expected -1 to 1"),
    ("decoder_cosine", "best_base_feature", 3, 64, "best_base_feature is 64, expected 0 to 63"),
    ("decoder_cosine", "regime", 0, "imaeg", "regime is 'imaeg', expected one of text, image"),
    ("decoder_cosine", "base_norm", 9, -0.5, "base_norm is -0.5, expected a finite number from 0"),
    ("decoder_cosine", "excess_rotation", 1, None, "are there together or not at all does not"),
    ("decoder_cosine", "rotation_q_value", 1, 1e-9, "rotation_p_value <= rotation_q_value does"),
    ("visual_energy", "energy_image", 127, INF, "energy_image is inf, expected a finite number"),
    ("visual_energy", "modality_preference", 1, -INF, "modality_preference is -inf, expected"),
    ("visual_energy", "fired_image", 5, -1, "fired_image is -1, expected 0 to"),
    ("visual_energy", "firing_rate", 5, 1.5, "firing_rate is 1.5, expected 0 to 1"),
    ("visual_energy", "feature", 5, -3, "feature is -3, expected 0 to 63"),
    ("selection", "layer", 9, 7, "layer 7 has no SAE; the run has layers [0, 1]"),
    ("selection", "feature", 9, 64, "feature is 64, expected 0 to 63"),
    ("selection", "is_adapted", 8, None, "is_adapted is missing, and table selection needs it"),
    ("selection", "is_turned_by_vision", 0, False, "is_turned_by_vision says whether is_adapted"),
    ("firing_shift", "delta_p", 0, None, "delta_p is missing"),
    ("firing_shift", "p_value", 2, 1.5, "p_value is 1.5, expected 0 to 1"),
    ("firing_shift", "fired_skill", 4, 401, "fired_skill <= tokens_skill and fired_base"),
    ("firing_shift", "odds_ratio_low", 4, 99.0, "odds_ratio_low <= odds_ratio and odds_ratio <="),
    ("candidate", "n_fired", 1, 31, "n_fired <= n_samples and n_fired_mean_image <= n_samples"),
    ("example", "sample", 4, 99, "sample 99 is not in the run's table sample"),
    ("example", "source", 4, "gqa", "source is 'gqa', expected one of vqav2, vsr"),
    ("example", "activations", 7, [0.0, -2.0], "activations is -2.0, expected a finite number"),
    ("example", "activations", 7, [0.0, 2.0], "as many tokens as activations does not hold"),
    ("example", "tokens", 3, ["a", None], "tokens has a missing value in its list"),
    ("example", "max_token", 3, 7, "max_token is one of the tokens does not hold (max_token 7"),
    ("head_attribution", "head_layer", 0, 1, "head_layer <= layer does not hold (head_layer 1"),
    ("overlay", "weights", 2, [NAN] * 16, "weights is nan"),
    ("overlay", "weights", 2, [0.1] * 15, "there are grid_rows * grid_columns weights does not"),
    ("overlay", "grid_rows", 2, 0, "grid_rows > 0 and grid_columns > 0 does not hold"),
    ("ablation", "control_feature", 0, 5, "a control_feature is there if, and only if"),
    ("ablation", "delta_low", 1, 0.9, "delta_low <= delta_high does not hold"),
    ("ablation_outcome", "sample", 0, -1, "sample -1 is not in the run's table sample"),
    ("auto_interp", "raw_reply", 1, "a\x00b", "raw_reply contains a zero byte"),
    ("sample", "truth", 3, "{", "truth is not JSON"),
    ("sample", "image", 3, 17, "image 17 is not in the run's table image"),
    ("sample", "dataset", 0, 2, "dataset 2 is not in the run's table dataset"),
    ("sample", "external_id", 1, "question-0", "the key (dataset 0, external_id question-0) comes"),
    ("image", "sha256", 1, "A" * 64, "sha256 is 64 hexadecimal digits does not hold"),
    ("image", "width", 1, 0, "width > 0 and height > 0 does not hold (width 0, height 49)"),
    ("image", "image", 1, 0, "the key (image 0) comes twice"),
]


@pytest.mark.parametrize(("table", "column", "row", "value", "complaint"), VALUES)
def test_a_bad_value_is_named_with_its_file_and_row(
    table: str, column: str, row: int, value: object, complaint: str, engine: Engine, folder: Path
):
    path = replace_value(folder, table, column, row, value)

    said = refusal(folder, engine)

    assert said.startswith(f"{path}, row {row}: ")
    assert complaint in said


def test_a_repeated_feature_is_named(engine: Engine, folder: Path):
    path = replace_value(folder, "decoder_cosine", "feature", 64 + 5, 4)

    said = refusal(folder, engine)

    assert f"{path}, row 69: the key (regime text, layer 1, feature 4) comes twice" in said


def test_a_repeated_key_of_a_sparse_table_is_named(engine: Engine, folder: Path):
    rows = read_rows(folder, "candidate")
    path = replace_rows(folder, "candidate", pa.concat_tables([rows, rows.slice(2, 1)]))

    said = refusal(folder, engine)

    assert f"{path}, row 12: the key (skill spatial, layer 0, feature 2) comes twice" in said


def test_a_key_repeated_in_another_batch_is_named(
    engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("feature_atlas.etl.run_folder.table_rows.SPARSE_BATCH", 5)
    rows = read_rows(folder, "candidate")
    path = replace_rows(folder, "candidate", pa.concat_tables([rows, rows.slice(2, 1)]))

    assert f"{path}, row 12: the key (skill spatial, layer 0, feature 2)" in refusal(folder, engine)


def test_a_missing_feature_is_named(engine: Engine, folder: Path):
    rows = read_rows(folder, "visual_energy")
    replace_rows(folder, "visual_energy", pa.concat_tables([rows.slice(0, 80), rows.slice(81)]))

    said = refusal(folder, engine)

    assert "visual_energy has 63 of 64 features for layer 1; the first missing is 16" in said


def test_a_feature_missing_from_one_skill_is_named(engine: Engine, folder: Path):
    rows = read_rows(folder, "firing_shift")
    replace_rows(folder, "firing_shift", pa.concat_tables([rows.slice(0, 130), rows.slice(131)]))

    said = refusal(folder, engine)

    assert "63 of 64 features for layer 0 of skill ocr; the first missing is 2" in said


def test_a_run_without_the_text_regime_is_refused(engine: Engine, folder: Path):
    rows = read_rows(folder, "decoder_cosine")
    replace_rows(folder, "decoder_cosine", rows.slice(128))

    assert "decoder_cosine has no rows of the regime text" in refusal(folder, engine)


def test_rows_that_name_their_run_themselves_are_refused(engine: Engine, folder: Path):
    rows = read_rows(folder, "selection")
    other = pa.array(np.full(len(rows), 7))
    path = replace_rows(folder, "selection", rows.append_column("run_id", other))

    assert f"{path} has columns run_id that table selection does" in refusal(folder, engine)


def test_a_missing_column_is_named(engine: Engine, folder: Path):
    path = replace_rows(folder, "selection", read_rows(folder, "selection").drop(["cosine_rank"]))

    assert f"{path} has no column cosine_rank; table selection needs" in refusal(folder, engine)


@pytest.mark.parametrize(
    ("table", "column", "values", "complaint"),
    [
        ("selection", "is_adapted", ["yes"], "is_adapted is string, expected true or false"),
        ("selection", "layer", [0.5], "layer is double, expected whole numbers"),
        ("decoder_cosine", "cosine", ["0.5"], "cosine is string, expected numbers"),
        ("decoder_cosine", "n_firings", [0.5], "n_firings is double, expected whole numbers"),
        ("example", "tokens", ["one"], "tokens is string, expected lists of texts"),
        ("overlay", "weights", [[1]], "weights is list<element: int64>, expected lists of numbers"),
        ("image", "thumbnail", ["text"], "thumbnail is string, expected bytes"),
        ("sample", "question", [b"bytes"], "question is binary, expected text"),
    ],
)
def test_a_column_of_another_kind_is_named(
    table: str, column: str, values: list[object], complaint: str, engine: Engine, folder: Path
):
    rows = read_rows(folder, table)
    changed = pa.array(values * len(rows))
    path = replace_rows(
        folder, table, rows.set_column(rows.column_names.index(column), column, changed)
    )

    assert f"{path}: column {complaint}" in refusal(folder, engine)


def test_every_rule_of_a_row_is_a_check_of_the_database_and_the_other_way_round():
    def own(name: str) -> set[str]:
        table = table_of(name)
        prefix = f"ck__{name}__"
        found = {
            str(check.name).removeprefix(prefix): check
            for check in table.constraints
            if isinstance(check, CheckConstraint)
        }
        bounds = {column.name for column in table.columns if "bounds" in column.info}
        return found.keys() - bounds

    tables = (*WHAT, *DENSE, *SPARSE)

    assert {name: own(name) for name in tables} == {
        name: set(RULES.get(name, {})) for name in tables
    }
