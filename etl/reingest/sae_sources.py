"""SAE runs and run folders among the files of a place, told by their names alone."""

import re
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath
from typing import NamedTuple

from feature_atlas.etl.config.run_config import RunConfig

LAYER_FOLDER = "layer_{layer}"
"""How the folder of one layer's SAE is called where no configuration says otherwise."""

SAE_FILES = {
    "sae_lens_folder": ("cfg.json", "sae_weights.safetensors"),
    "llama_scope_folder": ("hyperparams.json", "checkpoints/final.safetensors"),
}
"""What lies in the folder of one layer, by layout."""


class SaeSource(NamedTuple):
    """A finished run folder, or a set of SAEs by layer."""

    kind: str
    """run_folder, sae_lens_folder or llama_scope_folder."""
    folder: str
    """Where it lies, relative to the place; "." is the place itself."""
    names: tuple[str, ...]
    """Its files, relative to the place."""
    layer_folder: str
    """Folder of one layer below `folder`, with {layer} in it; "." for a single SAE."""
    lacks: str
    """What is missing before it can be built; empty: nothing."""


def find_sources(names: Collection[str], config: RunConfig | None) -> list[SaeSource]:
    """Run folders, then sets of SAEs, each in the order of their names."""
    runs = _find_runs(names)
    taken = {name for run in runs for name in run.names}
    return [*runs, *_find_saes(frozenset(names) - taken, config)]


def layer_folder(config: RunConfig | None) -> str:
    """How the configuration calls the folder of one layer, below the folder of all of them."""
    if config is None:
        return LAYER_FOLDER
    for stated in (config.sae.path, config.sae.sae_id):
        parts = PurePosixPath(stated).parts
        first = next((i for i, part in enumerate(parts) if "{layer}" in part), None)
        if first is not None:
            return str(PurePosixPath(*parts[first:]))
    return LAYER_FOLDER


def _find_runs(names: Collection[str]) -> list[SaeSource]:
    """Run folders, finished or not: the SAEs that lie in one are a part of it."""
    marks = ("manifest.json", "inputs.json")
    roots = {str(PurePosixPath(n).parent) for n in names if PurePosixPath(n).name in marks}
    outermost = [
        root
        for root in sorted(roots)
        if not any(str(parent) in roots for parent in PurePosixPath(root).parents)
    ]
    return [_run(root, tuple(sorted(_below(root, names)))) for root in outermost]


def _run(root: str, names: tuple[str, ...]) -> SaeSource:
    finished = f"{root}/manifest.json".removeprefix("./") in names
    return SaeSource("run_folder", root, names, "", "" if finished else "its manifest.json")


def _find_saes(names: Collection[str], config: RunConfig | None) -> list[SaeSource]:
    pattern = layer_folder(config)
    groups: dict[tuple[str, str, str], dict[int, str]] = {}
    for kind, folder in _sae_folders(names):
        parent, layer = _split(folder, pattern)
        below = "." if layer is None else pattern
        groups.setdefault((kind, parent, below), {})[-1 if layer is None else layer] = folder
    return [
        _source(kind, parent, below, layers, names, config)
        for (kind, parent, below), layers in sorted(groups.items())
    ]


def _sae_folders(names: Collection[str]) -> Iterable[tuple[str, str]]:
    """Folders with any file of an SAE: a set that is still being written is found too."""
    for kind, parts in SAE_FILES.items():
        for part in parts:
            for name in names:
                if name == part or name.endswith(f"/{part}"):
                    yield kind, name[: -len(part)].rstrip("/") or "."


def _split(folder: str, pattern: str) -> tuple[str, int | None]:
    """The folder of all layers and the number of this one; no number if the name has none."""
    named = re.escape(pattern).replace(r"\{layer\}", r"(\d+)", 1)
    found = re.fullmatch(rf"(?:(.*)/)?{named}", folder)
    return (found[1] or ".", int(found[2])) if found else (folder, None)


def _source(
    kind: str,
    parent: str,
    below: str,
    layers: dict[int, str],
    names: Collection[str],
    config: RunConfig | None,
) -> SaeSource:
    wanted = sorted(layers) if config is None or below == "." else list(config.sae.layers)
    files = [
        (folder, f"{folder}/{part}".removeprefix("./"))
        for folder in (layers.get(layer) for layer in wanted)
        if folder is not None
        for part in SAE_FILES[kind]
    ]
    there = tuple(name for _, name in files if name in names)
    lacks = _lacks(wanted, layers, [n for _, n in files if n not in names], below, config)
    return SaeSource(kind, parent, there, below, lacks)


def _lacks(
    wanted: list[int],
    layers: dict[int, str],
    absent: list[str],
    below: str,
    config: RunConfig | None,
) -> str:
    if config is None:
        return "a configuration to build it with: pass --config"
    missing = [str(layer) for layer in wanted if layer not in layers]
    if below == "." and len(config.sae.layers) > 1:
        return f"a layer: its folder is not called {layer_folder(config)}"
    if missing:
        return f"layers {', '.join(missing)}"
    return ", ".join(absent)


def _below(root: str, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(n for n in names if root == "." or n.startswith(f"{root}/"))
