"""Rows of run folders that were written before their tables had all columns."""

from pathlib import Path

import pytest

from feature_atlas.etl.run_folder.manifest import read_manifest
from feature_atlas.etl.run_folder.table_rows import read_batches


@pytest.mark.parametrize(
    ("said", "expected"), [({}, "mean"), ({"corruption": "resample"}, "resample")]
)
def test_a_column_that_came_later_has_what_the_stage_was_asked_or_its_default(
    run_folder: Path, said: dict[str, str], expected: str
):
    manifest = read_manifest(run_folder)
    of_stage = [
        m.model_copy(update={"params": said}) if m.stage == "head_attribution" else m
        for m in manifest.measurements
    ]
    manifest = manifest.model_copy(update={"measurements": of_stage})
    [file] = manifest.tables["head_attribution"]

    batches = list(read_batches(run_folder, manifest, file))

    assert "corruption" not in file.columns
    assert {expected} == {w for b in batches for w in b.column("corruption").to_pylist()}
