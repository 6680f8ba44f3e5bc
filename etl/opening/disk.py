"""What a run will write, by arithmetic from sizes (scratch while it is built; the rest stays)."""

from typing import NamedTuple

from feature_atlas.etl.at_once import weight_bytes
from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.opening.costs import harvest_bytes, regimes_by_stream, residuals_of
from feature_atlas.etl.opening.sizes import Sizes
from feature_atlas.etl.stages.dictionary.adaptation_files import READ_LATER

ROW_BYTES = 1200
"""Of a feature in a run's tables, and `DATABASE_BYTES` in the database with its indexes: as the
tiny world's run has them."""
DATABASE_BYTES = 4000
PICTURE_BYTES = 20_000
"""Of a picture's thumbnail and its samples' rows, in the folder and in the database."""
RESERVE = 2 * 2**30
"""Left free: logs, the journal of the database, whatever else happens on the disk."""

UNFINISHED = 2
"""Times what the harvest leaves: while a shard is added there are the shard, the sums without it
and the sums with it, and not yet what is left."""


class Written(NamedTuple):
    """Bytes of a run on the disk."""

    dictionaries: int
    """One for each layer and regime that keeps its own."""
    scratch: int
    """Residuals that dictionaries train from and a training under way, or the harvest's unfinished
    sums, whichever is more, deleted with the stage; or the run by chance."""
    pictures: int
    """Their features, until the run is published; what finds no room is computed again."""
    harvest: int
    """Sums and draws between stages."""
    tables: int
    """Rows in the folder and in the database."""

    @property
    def total(self) -> int:
        """At the most."""
        return sum(self)


def written(config: RunConfig, sizes: Sizes) -> Written:
    """Dictionaries by regime and layer, residuals by stream, rows by feature."""
    streams = regimes_by_stream(config)
    regimes = [regime for regimes in streams.values() for regime in regimes]
    kept = [r for r in regimes if config.adapt.keep == "all" or r in READ_LATER]
    weight = weight_bytes(config)
    plans = [residuals_of(config, sizes, stream) for stream in streams]
    rows = (ROW_BYTES + DATABASE_BYTES) * sizes.n_features + PICTURE_BYTES * sizes.n_pictures
    training = max(plan.layer_bytes * plan.layers_at_once for plan in plans)
    harvest = harvest_bytes(config) * sizes.n_features
    one_regime = sizes.n_layers * sizes.dictionary_bytes * weight // 4
    by_chance = one_regime + (1 + UNFINISHED) * harvest + ROW_BYTES * sizes.n_features
    return Written(
        dictionaries=len(kept) * one_regime,
        scratch=max(
            training + 3 * sizes.dictionary_bytes,
            UNFINISHED * harvest,
            by_chance if "frozen_random" in config.adapt.regimes else 0,
        ),
        pictures=int(
            min(
                config.picture_cache_gb * 1e9,
                sizes.n_pictures * sizes.image_tokens * sizes.d_model * weight,
            )
        ),
        harvest=harvest,
        tables=rows,
    )


def require_disk(needed: Written, free: int, place: str) -> str:
    """What will be written, in words; an error when the disk cannot take it."""
    said = (
        f"{gigabytes(needed.total)} by arithmetic: dictionaries {gigabytes(needed.dictionaries)}, "
        f"scratch {gigabytes(needed.scratch)}, pictures {gigabytes(needed.pictures)}, "
        f"harvest {gigabytes(needed.harvest)}, tables {gigabytes(needed.tables)}; "
        f"{gigabytes(free)} are free at {place}"
    )
    if needed.total + RESERVE > free:
        raise ValueError(
            f"{said}. Free as much and {gigabytes(RESERVE)} more, set ATLAS_HOME to a larger disk, "
            "or ask for less: adapt.keep and sae.layers decide the dictionaries, adapt.scratch_gb "
            "the scratch, picture_cache_gb the pictures."
        )
    return said


def gigabytes(n_bytes: float) -> str:
    """In GB, or MB where that is small."""
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:,.1f} MB"
