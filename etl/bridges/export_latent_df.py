"""The features of a run as `latent_df.csv`, the table of diffing-toolkit: one file per layer.

    <folder>/layer_<L>/latent_df.csv    first column: the feature

Columns have the toolkit's names and formulas, so its plots and dashboards read the file. Here the
first model is the base SAE and the second the SAE adapted in the text regime.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Engine

from feature_atlas.etl.bridges.export_rows import stream
from feature_atlas.etl.bridges.export_target import new_folder
from feature_atlas.etl.bridges.exported_run import open_exported
from feature_atlas.etl.warehouse.staging import Connection
from feature_atlas.models.notation.csv_text import write_csv

COLUMNS = (
    "",
    "dec_base_norm",
    "dec_ft_norm",
    "dec_norm_diff",
    "enc_base_norm",
    "enc_ft_norm",
    "enc_norm_diff",
    "dec_cos_sim",
    "enc_cos_sim",
    "tag",
    "freq",
    "max_act_validation",
)

THRESHOLD = 0.1
"""How far from 0, 1/2 or 1 a norm difference still counts as there, as in the toolkit."""


class LatentTables(NamedTuple):
    """What an export wrote."""

    folder: Path
    n_files: int
    n_features: int


def export_latent_df(engine: Engine, named: str, target: Path) -> LatentTables:
    """Write a table for each layer of a published run into a new folder."""
    n_features = 0
    with open_exported(engine, named) as (connection, run), new_folder(target) as folder:
        for layer in run.layers:
            file = folder / f"layer_{layer}" / "latent_df.csv"
            file.parent.mkdir()
            with file.open("w", newline="", encoding="utf-8") as opened:
                n_features += write_csv(opened, COLUMNS, _rows(connection, run.id, layer))
    return LatentTables(target, len(run.layers), n_features)


def _rows(connection: Connection, run_id: int, layer: int) -> Iterator[list[Any]]:
    values = {"run": run_id, "layer": layer}
    for feature, base, adapted, cosine, encoder_cosine, freq, strongest in stream(
        connection, FEATURES, values
    ):
        difference = norm_difference(base, adapted)
        yield [
            *(feature, base, adapted, difference),
            *(None, None, None),  # the atlas does not keep the encoder's norms
            *(cosine, encoder_cosine, tag(difference), freq, strongest),
        ]


def norm_difference(base: float, adapted: float) -> float:
    """0: only the adapted SAE has the feature, 1: only the base SAE; 1/2: both as long."""
    longest = max(base, adapted)
    return 0.5 if longest == 0 else float(np.float32(((base - adapted) / longest + 1) / 2))


def tag(difference: float) -> str:
    """The toolkit's word for a norm difference."""
    if difference < THRESHOLD:
        return "ft_only"
    if difference > 1 - THRESHOLD:
        return "base_only"
    return "shared" if abs(difference - 0.5) < THRESHOLD else "other"


FEATURES = """
    SELECT turned.feature, turned.base_norm, turned.adapted_norm, turned.cosine,
        turned.encoder_cosine, record.firing_rate, coalesce(strongest.activation, 0)
    FROM atlas.decoder_cosine AS turned
    JOIN atlas.regime ON regime.id = turned.regime_id AND regime.name = 'text'
    JOIN atlas.feature_record AS record USING (run_id, layer, feature)
    LEFT JOIN (
        SELECT feature, max(max_activation) AS activation FROM atlas.example
        WHERE run_id = %(run)s AND layer = %(layer)s GROUP BY feature
    ) AS strongest USING (feature)
    WHERE turned.run_id = %(run)s AND turned.layer = %(layer)s
    ORDER BY turned.feature
"""
