"""The adapted SAEs of a run folder as SAELens folders, and nothing else.

    <folder>/<regime>/layer_<L>/cfg.json, sae_weights.safetensors

`sae_lens.SAE.load_from_disk` loads each; a configuration of ours reads them back with
`sae: {source: sae_lens_folder, path: <folder>/text/layer_{layer}}`. The weights lie in the folder
of the build, not in the database.
"""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from feature_atlas.etl.bridges.export_target import new_folder
from feature_atlas.etl.run_folder.manifest import FileEntry, read_manifest

PLACE = re.compile(
    r"adapt-(?P<stage>[a-z-]+)(?:-\d+)?/sae/(?:(?P<regime>\w+)/)?(?P<layer>layer_\d+)/"
    r"(?P<file>[\w.]+)"
)
"""In folders of earlier versions stages had numbers, and some the name of their one regime."""
FACTS = re.compile(r"adapt-[a-z-]+/training\.(?P<regime>\w+)\.\d+\.npz")
"""What every regime leaves, also one whose dictionaries were not kept."""
CHUNK = 2**22


class SaeFolders(NamedTuple):
    """What an export wrote."""

    folder: Path
    saes: list[str]
    """Folders below it, e.g. text/layer_0."""
    not_kept: list[str]
    """Regimes that were trained, and whose dictionaries the build did not keep (`adapt.keep`)."""


def export_saes(run_folder: Path, target: Path) -> SaeFolders:
    """Copy every adapted SAE of a finished build, checked against its manifest."""
    manifest = read_manifest(run_folder)
    found = [(file, place) for file in manifest.files if (place := PLACE.fullmatch(file.path))]
    if not found:
        raise ValueError(
            f"{run_folder} holds no adapted SAEs. They are in the folder of the build, "
            "<home>/runs/<slug>; a folder written by `feature-atlas export run` has none."
        )
    with new_folder(target) as folder:
        for file, place in found:
            _copy(run_folder, file, folder / _sae_folder(place) / place["file"])
    folders = {_sae_folder(place) for _, place in found}
    facts = (FACTS.fullmatch(file.path) for file in manifest.files)
    trained = {match["regime"] for match in facts if match}
    not_kept = trained - {folder.parent.name for folder in folders}
    return SaeFolders(target, sorted(map(str, folders)), sorted(not_kept))


def _sae_folder(place: re.Match[str]) -> Path:
    return Path(place["regime"] or place["stage"], place["layer"])


def _copy(run_folder: Path, file: FileEntry, target: Path) -> None:
    """One file, whose content is what the manifest says."""
    source, digest = run_folder / file.path, hashlib.sha256()
    if not source.is_file():
        raise FileNotFoundError(f"{source} is missing; the manifest lists it.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as read, target.open("wb") as written:
        while chunk := read.read(CHUNK):
            digest.update(chunk)
            written.write(chunk)
    if digest.hexdigest() != file.sha256:
        raise ValueError(
            f"{source} has sha256 {digest.hexdigest()[:12]}..., the manifest says "
            f"{file.sha256[:12]}...: its content was changed. Build it again."
        )
