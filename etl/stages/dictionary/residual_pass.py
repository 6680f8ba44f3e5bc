"""A stream's residuals, cached: forward passes that leave them on disk, layer by layer (4.1).

    <folder>/<first layer>/     what one pass left for some layers (`residual_store`)

A layer is asked for when its dictionaries are about to train. If it is not there, the stream's
model goes over all that trains once more, for this layer and as many of the next ones as fit.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress

from feature_atlas.dictionary.adapt import REGIME_ROLES
from feature_atlas.dictionary.reconstruction import held_out_parts
from feature_atlas.etl.stages.dictionary.adapt_stream import ActivationStream
from feature_atlas.etl.stages.dictionary.residual_plan import (
    ResidualPlan,
    needed_tokens,
    residual_plan,
    room_for_residuals,
)
from feature_atlas.etl.stages.dictionary.residual_store import (
    INDEX,
    ResidualWriter,
    StoredLayer,
    read_index,
    remove_layer,
    stored_bytes,
)
from feature_atlas.vlm.harvest import harvest

SAVED_EVERY = 64
"""Passes after which what was found is kept; a killed process loses as many."""


class CachedResiduals:
    """The residuals of one stream, of layers in the order in which they will be asked for."""

    def __init__(self, stream: ActivationStream, folder: Path, layers: Sequence[int]) -> None:
        self.stream, self.folder, self.layers = stream, folder, list(layers)

    def of(self, layer: int) -> StoredLayer:
        """One layer's, after a pass if they are not there."""
        found = self.find(layer)
        if found is None:
            self._run_pass(self.layers[self.layers.index(layer) :])
            found = self.find(layer)
        if found is None:
            raise RuntimeError(f"a pass over {self.stream.stream} left no layer {layer}.")
        return found

    def together(self, layer: int) -> list[int]:
        """The layer, after a pass if it is not there, and those behind it that are."""
        self.of(layer)
        behind = self.layers[self.layers.index(layer) :]
        return [other for other in behind if self.find(other) is not None]

    def drop(self, layer: int) -> None:
        """No regime of the stream needs the layer any more."""
        for folder in self._folders():
            remove_layer(folder, layer)
            if all(file.name == INDEX for file in folder.iterdir()):
                shutil.rmtree(folder)

    def _folders(self) -> list[Path]:
        return sorted(self.folder.iterdir()) if self.folder.is_dir() else []

    def find(self, layer: int) -> StoredLayer | None:
        """One layer's, if a pass has left them."""
        for folder in self._folders():
            index = read_index(folder)
            is_there = (folder / f"train.{layer}").is_file()
            if index is not None and index.is_whole and layer in index.layers and is_there:
                return StoredLayer(folder, index, layer)
        return None

    def _run_pass(self, layers: Sequence[int]) -> None:
        """All that trains, once, for the first of these layers and as many more as fit."""
        folder = self.folder / str(layers[0])
        missing = [layer for layer in layers if self.find(layer) is None]
        taken, of_this = stored_bytes(self.folder), stored_bytes(folder)
        free = shutil.disk_usage(self.folder.parent).free + taken
        room = room_for_residuals(self.stream.study.config.adapt, free) - (taken - of_this)
        plan = self._plan(len(missing), room)
        self._write(ResidualWriter(folder, missing[: plan.layers_at_once], room))
        self.stream.release_model()

    def _plan(self, n_layers: int, room: int) -> ResidualPlan:
        """By the tokens of the first prompts; the writer sees to it if the others are longer."""
        study, regimes = self.stream.study, self.stream.regimes
        batch = next(self.stream.held_out())
        n_of = {role: float((batch.roles == role).sum()) for role in self.stream.roles}
        per_prompt = {role: n / len(batch.roles) for role, n in n_of.items()}
        width = study.inputs["sae_set"]["d_model"]
        return residual_plan(
            n_layers=n_layers,
            n_prompts=len(self.stream),
            row_bytes=width * getattr(torch, study.config.vlm.dtype).itemsize,
            trained=[sum(per_prompt[role] for role in REGIME_ROLES[r]) for r in regimes],
            kept=sum(per_prompt.values()),
            needed=needed_tokens(study.config.adapt),
            room=room,
        )

    def _write(self, writer: ResidualWriter) -> None:
        stream, model = self.stream, self.stream.load_model()
        if not len(writer.index.held_out):
            passes = (harvest(model, batch, writer.layers) for batch in stream.held_out())
            n_held_out = stream.study.config.adapt.n_held_out
            for tokens in held_out_parts(passes, stream.judged_roles, n_held_out):
                writer.add_held_out(tokens)
            writer.save()
        with Progress() as display:
            said = f"residuals of {stream.stream}: layers {writer.layers[0]} to {writer.layers[-1]}"
            bar = display.add_task(said, total=None)
            for numbers, batch in stream.passes(writer.index.n_passes):
                if self._is_enough(writer):
                    break
                tokens = harvest(model, batch, writer.layers, roles=stream.roles)
                writer.add(numbers, tokens)
                display.update(bar, completed=writer.index.n_passes)
                if writer.index.n_passes % SAVED_EVERY == 0:
                    writer.save()
        writer.save(is_whole=True)

    def _is_enough(self, writer: ResidualWriter) -> bool:
        """Whether every regime could train to its end without a second epoch."""
        needed, roles = needed_tokens(self.stream.study.config.adapt), writer.index.train
        return all(
            np.isin(roles, REGIME_ROLES[regime]).sum() >= needed for regime in self.stream.regimes
        )
