"""Rows that do not fit the run are refused, and nothing comes of them."""

from pathlib import Path

import numpy as np
import pytest
from later_measurement import add, entry, labels, refusal, shift
from run_folder import read_rows
from sqlalchemy import Engine


def test_the_same_measurement_of_other_inputs_is_refused(atlas: Engine, whole: Path):
    made = entry("labels", by="another")
    add(atlas, made, {"auto_interp": labels(whole)})
    other = made.model_copy(update={"input_fingerprint": "0" * 64})

    said = refusal(atlas, other, {"auto_interp": labels(whole, model="third")})

    assert "a measurement labels with these params already, from other inputs" in said


@pytest.mark.parametrize("table", ["firing_shift", "candidate", "neutral_prompt"])
def test_a_skill_that_the_run_has_measured_is_refused(table: str, kept: Engine, whole: Path):
    rows = shift(whole, "spatial")[table]

    said = refusal(kept, entry("again"), {table: rows})

    assert f"has {table} of skill spatial already" in said


@pytest.mark.parametrize("stage", ["../labels", "a/b", "/tmp/labels", ".."])
def test_a_stage_that_is_a_path_is_refused(stage: str, kept: Engine, whole: Path):
    with pytest.raises(ValueError, match="expected the name of one folder"):
        add(kept, entry(stage), {"auto_interp": labels(whole)})


def test_a_label_that_is_there_is_refused(kept: Engine, whole: Path):
    said = refusal(kept, entry("labels"), {"auto_interp": read_rows(whole, "auto_interp")})

    assert "has such a row already" in said
    assert "over-representation" in said


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"f1": np.float32("inf")}, "f1 is inf, expected 0 to 1"),
        ({"f1": np.float32(1.5)}, "f1 is 1.5, expected 0 to 1"),
        ({"layer": np.int16(9)}, "layer 9 has no SAE; the run has layers [0, 1]"),
        ({"feature": np.int32(64)}, "feature is 64, expected 0 to 63"),
        ({"explainer": "a friend"}, "explainer is 'a friend'"),
        ({"description": None}, "description is missing"),
        ({"layer": np.int16(0), "feature": np.int32(0), "variant": "RAW"}, "comes twice"),
        ({"mood": "good"}, "has columns mood that table auto_interp does not know"),
    ],
)
def test_bad_rows_are_refused_as_when_a_run_is_loaded(
    changed: dict[str, object], complaint: str, kept: Engine, whole: Path
):
    said = refusal(kept, entry("labels"), {"auto_interp": labels(whole, **changed)})

    assert complaint in said
    assert "auto_interp.0.parquet" in said


def test_a_layer_that_is_not_whole_is_refused(kept: Engine, whole: Path):
    rows = shift(whole, "counting")["firing_shift"].slice(1)

    said = refusal(kept, entry("counting"), {"firing_shift": rows})

    assert "firing_shift has 63 of 64 features for layer 0 of skill counting" in said


@pytest.mark.parametrize("table", ["decoder_cosine", "selection", "training_curve"])
def test_what_a_run_has_from_the_first_is_not_added(table: str, kept: Engine, whole: Path):
    said = refusal(kept, entry("more"), {table: read_rows(whole, table)})

    assert f"has rows for {table}, which a run has from its first publication" in said


def test_rows_that_name_samples_without_them_are_refused(kept: Engine, whole: Path):
    said = refusal(kept, entry("overlay", again=1), {"overlay": read_rows(whole, "overlay")})

    assert "sample 0 is not in the run's table sample" in said
