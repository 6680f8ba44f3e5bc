"""Dictionaries by SAELens release and id: found in SAELens' directory, fetched from the hub."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from feature_atlas.etl.config.inputs import SaeConfig


class Released(NamedTuple):
    """What SAELens' directory says of one dictionary."""

    name: str
    """Release and id, as an error says it."""
    repository: str
    """Hub id of the release."""
    folder: str
    """Where the dictionary lies in it."""
    is_llama_scope: bool
    """Whether the files are Llama Scope's own, which are read without SAELens."""
    scale: float | None
    """s, where the directory has it."""
    l0: float | None
    """Mean number of features that fire, where the directory has it."""
    fvu: float | None
    """Fraction of variance unexplained, where the directory has it."""


def find_released(config: SaeConfig, layer: int) -> Released:
    """The entry of a release and id, or an error that names those like it."""
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    directory = get_pretrained_saes_directory()
    release, sae_id = config.path, config.sae_id.format(layer=layer)
    if release not in directory:
        raise ValueError(
            f"no SAELens release {release!r}; {_like(release, directory)}. Set sae.path to a "
            "release, or sae.source to sae_lens_folder."
        )
    entry = directory[release]
    if sae_id not in entry.saes_map:
        raise ValueError(
            f"SAELens release {release} has no {sae_id!r}; {_like(sae_id, entry.saes_map)}. Set "
            "sae.sae_id, with {layer} where the number stands, and sae.layers."
        )
    return Released(
        name=f"{release} {sae_id}",
        repository=entry.repo_id,
        folder=entry.saes_map[sae_id],
        is_llama_scope=entry.conversion_func == "llama_scope",
        scale=entry.norm_scaling_factor.get(sae_id),
        l0=entry.expected_l0.get(sae_id) or None,  # 0 stands for unknown
        fvu=1 - entry.expected_var_explained.get(sae_id, 1.0) or None,  # as 1 does
    )


def _like(name: str, known: dict[str, Any]) -> str:
    near = get_close_matches(name, known, n=5, cutoff=0.4)
    return f"like it are {', '.join(near)}" if near else f"there are {len(known)} others"


def download(entry: Released) -> Path:
    """The dictionary's folder on this machine."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        root = snapshot_download(entry.repository, allow_patterns=[f"{entry.folder}/*"])
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise FileNotFoundError(
            f"cannot get {entry.name} from {entry.repository} ({error}): download it where there "
            "is a network, and set sae.source and sae.path to the folder."
        ) from error
    return Path(root) / entry.folder


def load_released(config: SaeConfig, layer: int) -> Any:
    """A dictionary of any release as SAELens itself reads it, its scale folded in."""
    from sae_lens import SAE

    sae = SAE.from_pretrained(config.path, config.sae_id.format(layer=layer))
    return sae[0] if isinstance(sae, tuple) else sae
