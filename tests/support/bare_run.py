"""A run folder with just enough in it for one stage."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from feature_atlas.etl.run_folder.artifacts import StageOutput
from feature_atlas.etl.run_folder.whole_files import write_json


def write_inputs(run: Path, layers: Sequence[int] = (0,), d_sae: int = 64) -> None:
    """What stages look up before they write rows."""
    saes = {"layers": list(layers), "d_sae": d_sae}
    write_json(run / "inputs.json", {"config_hash": "0", "sae_set": saes, "datasets": []})


def write_part(output: StageOutput, name: str, columns: Mapping[str, Any]) -> None:
    """Some columns of a table, unchecked, for what reads no others."""
    n_before = sum(entry.get("table") == name for entry in output.files)
    file = output.folder / f"{name}.{n_before}.parquet"
    rows = pa.table(dict(columns))
    pq.write_table(rows, file)
    types = {field.name: str(field.type) for field in rows.schema}
    output.record(file, table=name, rows=rows.num_rows, columns=types)
