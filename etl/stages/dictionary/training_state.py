"""The state of a training that is under way, kept so that a killed one goes on.

    <run>/<stage>.unfinished/<number>.pt     beside the stage's folder, never in the manifest

A state is whole or not there: it is written under another name first. One of another key (other
parameters or inputs) is passed over, and so is one that cannot be read: the training then begins
again, and its result is the same.
"""

import logging
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

log = logging.getLogger(__name__)


class TrainingState:
    """Where a stage keeps the states of its parts, one file each."""

    def __init__(self, run: Path, stage: str, key: str) -> None:
        self.folder, self.key = run / f"{stage}.unfinished", key

    def save(self, part: int, state: Mapping[str, Any]) -> None:
        """Replace the part's state."""
        self.folder.mkdir(exist_ok=True)
        file = self._file(part)
        temporary = file.with_suffix(".tmp")
        torch.save({"key": self.key, "state": state}, temporary)
        temporary.replace(file)

    def load(self, part: int) -> dict[str, Any] | None:
        """The part's state, on the CPU; None if there is none to go on from."""
        file = self._file(part)
        if not file.is_file():
            return None
        try:
            kept = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
        except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
            log.warning("%s cannot be read (%s): the training begins again", file, error)
            return None
        state: dict[str, Any] = kept["state"]
        return state if kept["key"] == self.key else None

    def remove(self) -> None:
        """Delete everything kept."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, part: int) -> Path:
        return self.folder / f"{part}.pt"
