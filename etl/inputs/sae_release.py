"""Dictionaries by SAELens release and id: found in SAELens' directory, fetched from the hub."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from feature_atlas.etl.config.inputs import SaeConfig
from feature_atlas.etl.run_folder.artifacts import read_json


class Released(NamedTuple):
    """What SAELens' directory says of one dictionary."""

    name: str
    """Release and id, as an error says it."""
    repository: str
    """Hub id of the release."""
    folder: str
    """Where the dictionary lies in it: a folder, or a file."""
    conversion: str
    """Which of SAELens' readers reads it."""
    scale: float | None
    """s, where the directory has it."""
    l0: float | None
    """Mean number of features that fire, where the directory has it."""
    fvu: float | None
    """Fraction of variance unexplained, where the directory has it."""

    @property
    def is_llama_scope(self) -> bool:
        """Whether the files are Llama Scope's own, which are read without SAELens."""
        return self.conversion == "llama_scope"


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
        conversion=entry.conversion_func or "sae_lens",
        scale=entry.norm_scaling_factor.get(sae_id),
        l0=entry.expected_l0.get(sae_id) or None,  # 0 stands for unknown
        fvu=1 - entry.expected_var_explained.get(sae_id, 1.0) or None,  # as 1 does
    )


def _like(name: str, known: dict[str, Any]) -> str:
    near = get_close_matches(name, known, n=5, cutoff=0.4)
    return f"like it are {', '.join(near)}" if near else f"there are {len(known)} others"


def fetched(entry: Released, name: str) -> Path:
    """A file of the dictionary, on this machine; by SAELens' own way to the hub."""
    from sae_lens.loading import pretrained_sae_loaders as loaders

    try:
        return Path(loaders.hf_hub_download(entry.repository, f"{entry.folder}/{name}"))
    except OSError as error:
        raise _not_here(entry, error) from error


def llama_scope_folder(entry: Released) -> Path:
    """The folder of Llama Scope's own files on this machine."""
    fetched(entry, "checkpoints/final.safetensors")
    return fetched(entry, "hyperparams.json").parent


def release_settings(entry: Released) -> dict[str, Any]:
    """The settings beside the release's weights."""
    settings: dict[str, Any] = read_json(fetched(entry, "config.json"))
    return settings


def load_released(config: SaeConfig, layer: int, entry: Released) -> Any:
    """A dictionary of any release as SAELens itself reads it, its scale folded in."""
    from sae_lens import SAE

    try:
        sae = SAE.from_pretrained(config.path, config.sae_id.format(layer=layer))
    except OSError as error:
        raise _not_here(entry, error) from error
    except (RuntimeError, KeyError) as error:
        raise ValueError(f"{entry.name} is not what SAELens expects of it ({error}).") from error
    if entry.conversion == "llama_scope_r1_distill":
        _compare_as_trained(sae, entry)
    return sae


def _not_here(entry: Released, error: Exception) -> FileNotFoundError:
    """Names the release, and the folder to fill."""
    from huggingface_hub.constants import HF_HUB_CACHE

    cached = Path(HF_HUB_CACHE) / f"models--{entry.repository.replace('/', '--')}"
    return FileNotFoundError(
        f"cannot get {entry.name}, which is {entry.folder} of {entry.repository} ({error}). Where "
        f"there is a network, run: hf download {entry.repository} --include '{entry.folder}*'; "
        f"then bring that machine's folder of the repository to {cached}."
    )


R1_SETTINGS = {
    "act_fn": "jumprelu",
    "use_glu_encoder": False,
    "apply_decoder_bias_to_pre_encoder": False,
}
"""What SAELens takes for granted of Llama Scope R1."""


def _compare_as_trained(sae: Any, entry: Released) -> None:
    """Llama Scope R1: SAELens' reader passes over what its settings say of the gate."""
    settings = release_settings(entry)
    for name, expected in R1_SETTINGS.items():
        if settings.get(name, expected) != expected:
            raise ValueError(
                f"{entry.name} says {name} {settings[name]!r}, expected {expected!r}: SAELens "
                "reads it as something else."
            )
    place, out = settings.get("hook_point_in"), settings.get("hook_point_out")
    if out not in (None, place):
        raise ValueError(f"{entry.name} reads {place} and writes {out}: this is a transcoder.")
    if settings.get("sparsity_include_decoder_norm"):
        is_folded = sae.cfg.normalize_activations == "none"
        norm = sae.W_dec.norm(dim=-1) * ((entry.scale or 1.0) if is_folded else 1.0)
        sae.threshold.data /= norm  # it was compared with activations times decoder norms
