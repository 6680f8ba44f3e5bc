"""Three runs of one shape in which features turn one after the other, and a run of another."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from run_folder import read_rows, replace_rows, write_run_folder

LEAVE = ((), (6, 7, 8, 9), (8, 9))
"""Features of each layer, of the first sixteen, that are not adapted in the run of that place."""
JOIN = ((), (20, 21, 22, 23), (20, 21, 30))
"""Features of each layer that are adapted in it beside the first sixteen."""


def write_series(folder: Path) -> list[Path]:
    """The folders of the three, in order, and of one that has a layer more."""
    series = [write_run_folder(folder, seed=seed) for seed in range(3)]
    for run, leave, join in zip(series, LEAVE, JOIN, strict=True):
        _adapt_others(run, leave, join)
    taller = write_run_folder(folder, seed=9, layers=(0, 1, 2), name="taller")
    manifest = json.loads((taller / "manifest.json").read_text())
    manifest["sae_set"] |= {"name": "tall-scope", "fingerprint": "f2"}
    (taller / "manifest.json").write_text(json.dumps(manifest))
    return [*series, taller]


def _adapt_others(run: Path, leave: tuple[int, ...], join: tuple[int, ...]) -> None:
    rows = read_rows(run, "selection").to_pandas()
    rows.loc[rows.feature.isin(leave), "is_adapted"] = False
    rows.loc[rows.feature.isin(join), "is_adapted"] = True
    rows["is_turned_by_vision"] = np.logical_and.reduce(
        [rows.is_adapted, rows.is_beyond_null, rows.is_beyond_language]
    )
    schema = read_rows(run, "selection").schema
    replace_rows(run, "selection", pa.Table.from_pandas(rows, schema=schema, preserve_index=False))
