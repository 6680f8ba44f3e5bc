"""What a run will write, by arithmetic from sizes (states while it trains; the rest stays)."""

from typing import NamedTuple

from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.opening.costs import harvest_bytes, regimes_by_stream
from feature_atlas.etl.opening.sizes import Sizes

ROW_BYTES = 1200
"""Of a feature in a run's tables, and `DATABASE_BYTES` in the database with its indexes: as the
tiny world's run has them."""
DATABASE_BYTES = 4000
PICTURE_BYTES = 20_000
"""Of a picture's thumbnail and its samples' rows, in the folder and in the database."""
RESERVE = 2 * 2**30
"""Left free: logs, the journal of the database, whatever else happens on the disk."""


class Written(NamedTuple):
    """Bytes of a run on the disk."""

    dictionaries: int
    """One for each regime and layer."""
    states: int
    """Of a training under way, for a killed run; deleted when its stage is done."""
    harvest: int
    """Sums and draws between stages."""
    tables: int
    """Rows in the folder and in the database."""

    @property
    def total(self) -> int:
        """At the most."""
        return sum(self)


def written(config: RunConfig, sizes: Sizes) -> Written:
    """Dictionaries per regime and layer, states per regime and group, rows per feature."""
    streams = regimes_by_stream(config)
    one = sizes.dictionary_bytes
    group = min(config.adapt.layers_per_group, sizes.n_layers)
    rows = (ROW_BYTES + DATABASE_BYTES) * sizes.n_features + PICTURE_BYTES * sizes.n_pictures
    return Written(
        dictionaries=sum(map(len, streams.values())) * sizes.n_layers * one,
        states=3 * group * max(map(len, streams.values())) * one,
        harvest=harvest_bytes(config) * sizes.n_features,
        tables=rows,
    )


def require_disk(needed: Written, free: int, place: str) -> str:
    """What will be written, in words; an error when the disk cannot take it."""
    said = (
        f"{gigabytes(needed.total)} by arithmetic: dictionaries {gigabytes(needed.dictionaries)}, "
        f"states of trainings {gigabytes(needed.states)}, harvest {gigabytes(needed.harvest)}, "
        f"tables {gigabytes(needed.tables)}; {gigabytes(free)} are free at {place}"
    )
    if needed.total + RESERVE > free:
        raise ValueError(
            f"{said}. Free as much and {gigabytes(RESERVE)} more, set ATLAS_HOME to a larger disk, "
            "or ask for less: adapt.regimes and sae.layers decide the dictionaries, "
            "adapt.layers_per_group the states."
        )
    return said


def gigabytes(n_bytes: float) -> str:
    """In GB, or MB where that is small."""
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:,.1f} MB"
