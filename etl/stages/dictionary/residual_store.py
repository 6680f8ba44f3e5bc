"""Residuals of a stream's tokens on disk, one file a layer, read by the tokens' numbers (4.1).

    <folder>/index.npz            which tokens there are, and of which prompts; replaced as a whole
    <folder>/train.<layer>        residuals of what trains, row by row, in the model's own dtype
    <folder>/held_out.<layer>     and of what judges

What lies in a file beyond the index was not finished, and is cut off by a writer that goes on.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Float, Int, Int8
from torch import Tensor

from feature_atlas.dictionary.reconstruction import RoleSet
from feature_atlas.etl.run_folder.whole_files import written_whole
from feature_atlas.vlm.harvest import Tokens

log = logging.getLogger(__name__)

Part = Literal["train", "held_out"]
INDEX = "index.npz"


class Index(NamedTuple):
    """What the files of a folder hold."""

    layers: Int[np.ndarray, " layer"]
    """Layers that have a file."""
    n_passes: int = 0
    """Forward passes over what trains, so far."""
    is_whole: bool = False
    """Whether there will be no more."""
    dtype: str = ""
    """The model's."""
    width: int = 0
    """d_model."""
    numbers: Int[np.ndarray, " prompt"] = np.zeros(0, np.int64)
    """Of the prompts or documents that train, in the order of their tokens."""
    lengths: Int[np.ndarray, " prompt"] = np.zeros(0, np.int64)
    """How many tokens each has."""
    train: Int8[np.ndarray, " token"] = np.zeros(0, np.int8)
    """Role of each token that trains."""
    held_out: Int8[np.ndarray, " token"] = np.zeros(0, np.int8)
    """Role of each token that judges."""

    @property
    def row_bytes(self) -> int:
        """Of one token at one layer."""
        return self.width * _dtype(self.dtype).itemsize if self.dtype else 0

    @property
    def layer_bytes(self) -> int:
        """Of one layer's files."""
        return self.row_bytes * (len(self.train) + len(self.held_out))


def read_index(folder: Path) -> Index | None:
    """The folder's index, None if there is none that can be read: the pass is then run again."""
    file = folder / INDEX
    if not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as stored:
            values: dict[str, Any] = {name: stored[name] for name in Index._fields}
    except (BadZipFile, ValueError, KeyError, EOFError) as error:
        log.warning("%s cannot be read (%s): its pass is run again", file, error)
        return None
    plain = {name: values[name].item() for name in ("n_passes", "is_whole", "dtype", "width")}
    return Index(**values | plain)


class ResidualWriter:
    """Adds the tokens of forward passes; goes on where an earlier one saved."""

    def __init__(self, folder: Path, layers: Sequence[int], room: int) -> None:
        self.folder, self.room = folder, room
        folder.mkdir(parents=True, exist_ok=True)
        self.index = self._saved() or Index(np.array(layers))
        for layer in self.layers:
            for part in ("train", "held_out"):
                n_rows = len(getattr(self.index, part))
                with self._file(part, layer).open("ab") as file:
                    file.truncate(n_rows * self.index.row_bytes)

    def _saved(self) -> Index | None:
        """What can be gone on from; where files are shorter than said, nothing can."""
        saved = read_index(self.folder)
        if saved is None:
            return None
        for layer in saved.layers:
            for part in ("train", "held_out"):
                file, n_rows = self._file(part, layer), len(getattr(saved, part))
                if not file.is_file() or file.stat().st_size < n_rows * saved.row_bytes:
                    return None
        return saved

    @property
    def layers(self) -> list[int]:
        """Layers that are written: fewer than asked for where the room does not suffice."""
        return [int(layer) for layer in self.index.layers]

    def add(self, numbers: Sequence[int], tokens: Tokens) -> None:
        """What one forward pass found of prompts that train."""
        lengths = tokens.prompt.bincount(minlength=len(numbers)).cpu().numpy()
        self._append("train", tokens)
        self.index = self.index._replace(
            n_passes=self.index.n_passes + 1,
            numbers=np.append(self.index.numbers, np.array(numbers, np.int64)),
            lengths=np.append(self.index.lengths, lengths),
        )

    def add_held_out(self, tokens: Tokens) -> None:
        """What one forward pass found of prompts that judge."""
        self._append("held_out", tokens)

    def save(self, *, is_whole: bool = False) -> None:
        """All that was added is kept from now on."""
        self.index = self.index._replace(is_whole=is_whole)
        with written_whole(self.folder / INDEX) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **self.index._asdict())

    def _append(self, part: Part, tokens: Tokens) -> None:
        rows = next(iter(tokens.residuals.values()))
        self.index = self.index._replace(
            dtype=str(rows.dtype).removeprefix("torch."), width=rows.shape[1]
        )
        self._make_room(len(rows) * self.index.row_bytes)
        for layer in self.layers:
            with self._file(part, layer).open("ab") as file:
                file.write(_bytes(tokens.residuals[layer]))
        roles: dict[str, Any] = {
            part: np.append(getattr(self.index, part), tokens.roles.cpu().numpy().astype(np.int8))
        }
        self.index = self.index._replace(**roles)

    def _make_room(self, n_bytes: int) -> None:
        """Leave the deepest layers to another pass where one more row of each would not fit."""
        of_layer = self.index.layer_bytes + n_bytes
        while len(self.layers) * of_layer > self.room:
            if len(self.layers) == 1:
                raise ValueError(
                    f"the residuals of layer {self.layers[0]} take more than the "
                    f"{self.room / 1e9:.1f} GB that are there for them in {self.folder}: raise "
                    "adapt.scratch_gb, free the disk, or lower adapt.n_tokens."
                )
            remove_layer(self.folder, self.layers[-1])
            self.index = self.index._replace(layers=self.index.layers[:-1])

    def _file(self, part: str, layer: int) -> Path:
        return self.folder / f"{part}.{layer}"


def remove_layer(folder: Path, layer: int) -> None:
    """Delete one layer's files."""
    for part in ("train", "held_out"):
        (folder / f"{part}.{layer}").unlink(missing_ok=True)


class StoredLayer:
    """One layer's residuals."""

    def __init__(self, folder: Path, index: Index, layer: int) -> None:
        self.folder, self.index, self.layer = folder, index, layer

    def rows(
        self, numbers: Int[Tensor, " token"], part: Part = "train"
    ) -> Float[Tensor, "token d_model"]:
        """Residuals of the tokens of these numbers.

        The file is mapped anew each time, so that what was read before is not kept as memory.
        """
        n_rows, width = len(getattr(self.index, part)), self.index.width
        mapped = torch.from_file(
            str(self.folder / f"{part}.{self.layer}"),
            shared=False,
            size=n_rows * width,
            dtype=_dtype(self.index.dtype),
        )
        return mapped.view(n_rows, width)[numbers]

    def held_out(self) -> tuple[Float[Tensor, "token d_model"], Int[Tensor, " token"]]:
        """All tokens that judge, and their roles."""
        roles = torch.from_numpy(self.index.held_out.astype(np.int64))
        return self.rows(torch.arange(len(roles)), "held_out"), roles

    def passes(
        self, order: Iterable[Sequence[int]], roles: RoleSet
    ) -> Iterator[Int[Tensor, " token"]]:
        """Numbers of the tokens of these roles, pass by pass; ends at a prompt that is not there.

        A pass is the prompts that went through the model together, or would have in a later epoch.
        """
        numbers, lengths = self.index.numbers, self.index.lengths
        place = np.full(numbers.max(initial=-1) + 1, -1)
        place[numbers] = np.arange(len(numbers))
        ends = lengths.cumsum()
        is_wanted = np.isin(self.index.train, roles)
        for chosen in order:
            if max(chosen) >= len(place) or (place[chosen] < 0).any():
                return
            tokens = [np.arange(ends[i] - lengths[i], ends[i]) for i in place[chosen]]
            joined = np.concatenate(tokens)
            yield torch.from_numpy(joined[is_wanted[joined]])


def _dtype(name: str) -> torch.dtype:
    found: torch.dtype = getattr(torch, name)
    return found


def _bytes(rows: Float[Tensor, "token d_model"]) -> memoryview:
    return memoryview(rows.contiguous().cpu().view(torch.uint8).numpy())


def stored_bytes(folder: Path) -> int:
    """What all files below take."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
