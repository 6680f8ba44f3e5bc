"""What a stage keeps while it is not finished, so that a killed one goes on.

    <run>/<stage>.unfinished/           beside the stage's folder, never in the manifest
        key.json                        of the stage: all here belongs to it
        residuals/                      `residual_pass`
        <dictionary>.pt                 state of a training under way
        finished/<dictionary>/          what it left, once it is done

Each of these is whole or not there: it is written under another name first. What belongs to
another key (other parameters or inputs) is deleted, and a state that cannot be read is passed over:
the training then begins again, and its result is the same.
"""

import logging
import pickle
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from feature_atlas.etl.run_folder.artifacts import read_json
from feature_atlas.etl.run_folder.whole_files import write_json, written_whole

log = logging.getLogger(__name__)


class Unfinished:
    """The folder of one stage."""

    def __init__(self, run: Path, stage: str, key: str) -> None:
        self.folder, self.key = run / f"{stage}.unfinished", key

    def open(self) -> None:
        """Make it, and delete what belongs to another key."""
        file = self.folder / "key.json"
        if not file.is_file() or read_json(file) != {"key": self.key}:
            self.remove()
            self.folder.mkdir(parents=True)
            write_json(file, {"key": self.key})

    def remove(self) -> None:
        """Delete everything kept."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def residuals(self) -> Path:
        """Where the stream's residuals lie."""
        return self.folder / "residuals"

    def finished(self, name: str) -> Path | None:
        """The folder of what a dictionary's training left, None before it is done."""
        folder = self.folder / "finished" / name
        return folder if folder.is_dir() else None

    def finish(self, name: str, write: Callable[[Path], None]) -> None:
        """Keep what ``write`` puts into a folder; its state is not needed any more."""
        temporary = self.folder / "finishing" / name
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        write(temporary)
        target = self.folder / "finished" / name
        target.parent.mkdir(exist_ok=True)
        temporary.rename(target)
        self._state(name).unlink(missing_ok=True)

    def save_state(self, name: str, state: Mapping[str, Any]) -> None:
        """Replace a training's state."""
        with written_whole(self._state(name)) as temporary:
            torch.save(state, temporary)

    def load_state(self, name: str) -> dict[str, Any] | None:
        """A training's state, on the CPU; None if there is none to go on from."""
        file = self._state(name)
        if not file.is_file():
            return None
        try:
            state: dict[str, Any] = torch.load(
                file, map_location="cpu", mmap=True, weights_only=True
            )
        except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
            log.warning("%s cannot be read (%s): the training begins again", file, error)
            return None
        return state

    def _state(self, name: str) -> Path:
        return self.folder / f"{name}.pt"
