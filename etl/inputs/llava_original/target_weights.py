"""Write safetensors files one after the other: no more than one is in memory."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from feature_atlas.etl.inputs.llava_original.source_weights import Stored, read

SHARD_BYTES = 5_000_000_000
"""Of a file at most, unless one tensor alone is larger; the hub's own custom."""


def write_weights(
    tensors: Mapping[str, Stored],
    factors: Mapping[str, float],
    folder: Path,
    progress: Callable[[str, int, int], None],
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write every tensor as it is stored, or multiplied by its factor, and an index."""
    shards = _shards(tensors, shard_bytes)
    weight_map: dict[str, str] = {}
    done, total = 0, len(tensors)
    for i, names in enumerate(shards):
        file = "model.safetensors"
        if len(shards) > 1:
            file = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        loaded = {}
        for name in names:
            loaded[name] = _scaled(read(tensors[name]), factors.get(name)).contiguous()
            done += 1
            progress("weights", done, total)
        save_file(loaded, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(names, file)
    if len(shards) > 1:
        n_bytes = sum(stored.n_bytes for stored in tensors.values())
        index = {"metadata": {"total_size": n_bytes}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(
            json.dumps(index, indent=2), encoding="utf-8"
        )


def _shards(tensors: Mapping[str, Stored], shard_bytes: int) -> list[list[str]]:
    """Names in the model's order, cut where a file would grow too large."""
    shards: list[list[str]] = []
    room = 0
    for name, stored in tensors.items():
        if not shards or stored.n_bytes > room:
            shards.append([])
            room = shard_bytes
        shards[-1].append(name)
        room -= stored.n_bytes
    return shards


def _scaled(tensor: Tensor, factor: float | None) -> Tensor:
    if factor is None:
        return tensor
    scaled = (tensor.double() * factor).to(tensor.dtype)
    if not torch.isfinite(scaled).all():
        raise ValueError(f"a projector's weight times {factor} does not fit into {tensor.dtype}.")
    return scaled
