"""What makes a run the run that it is: its settings, and the contents of all that it reads."""

from typing import NamedTuple

from feature_atlas.etl.config.run_config import RunConfig, hashed_config, stable_hash
from feature_atlas.etl.inputs.checkpoints import vlm_folder
from feature_atlas.etl.inputs.data_sets import DataSets, read_data_sets, read_objects
from feature_atlas.etl.inputs.fingerprint import (
    fingerprint_base,
    fingerprint_folder,
    fingerprint_instances,
    fingerprint_instruct,
    fingerprint_pairs,
    fingerprint_saes,
    fingerprint_samples,
)


class Inputs(NamedTuple):
    """The identity of a run, before anything is computed."""

    slug: str
    """Folder name: the configuration's name and the start of its hash."""
    config_hash: str
    """Hash of the configuration and of the contents of every input file."""
    fingerprints: dict[str, str]
    """Content hashes: vlm, sae, base_model and base_text if there are such, and each dataset."""


def identify(config: RunConfig, data: DataSets | None = None) -> Inputs:
    """Fingerprint every input and name the run; reads files, computes nothing.

    ``data`` is given where it was read already.
    """
    found = read_data_sets(config.data) if data is None else data
    if data is None:
        read_objects(config.data.instances, found)  # its faults come now, not in stage overlay
    fingerprints = {
        "vlm": fingerprint_folder(vlm_folder(config.vlm)),
        "sae": fingerprint_saes(config),
        **fingerprint_base(config),
        **fingerprint_instruct(config),
        **fingerprint_instances(config),
        **fingerprint_pairs(config),
        **{name: fingerprint_samples(drawn) for name, drawn in found.samples.items()},
    }
    config_hash = stable_hash({"config": hashed_config(config), "inputs": fingerprints})
    return Inputs(f"{config.name}-{config_hash[:8]}", config_hash, fingerprints)
