"""Image features that are asked for again: the newest in memory, others on the disk.

A picture's features are written when they are asked for the second time: what one pass alone looks
at takes no room. What finds none is computed again, and nothing that was written goes: passes come
in one order, in which the oldest is the one that is needed next.
"""

import shutil
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from feature_atlas.etl.inputs.newest import Newest
from feature_atlas.etl.run_folder.whole_files import written_whole

MEMORY_BYTES = 2**29
"""Of the newest features, in main memory."""
FREE_BYTES = 2 * 2**30
"""Left free on the disk."""
COUNTED_EVERY = 256
"""Files after which all are counted anew: several processes may write into one folder."""

Levels = tuple[Tensor, ...]


class FeatureStore:
    """Features by the key of their picture, as they were computed, to the last bit."""

    def __init__(self, folder: Path, most_bytes: float, memory_bytes: float = MEMORY_BYTES) -> None:
        self.folder, self.most_bytes = folder, most_bytes
        self.newest: Newest[str, Levels] = Newest(memory_bytes, _n_bytes)
        self.asked: set[str] = set()
        self.n_written = self.used = 0

    def __contains__(self, key: str) -> bool:
        return key in self.newest or self._file(key).is_file()

    def find(self, key: str) -> Levels | None:
        """What is known of a picture."""
        found = self.newest.take(key)
        if found is None:
            found = self._read(key)
            if found is not None:
                self.newest.keep(key, found)
        elif key in self.asked:
            self._write(key, found)
        return found

    def add(self, key: str, levels: Levels) -> None:
        """What was computed of a picture of which nothing was known."""
        self.newest.keep(key, levels)
        if key in self.asked:
            self._write(key, levels)
        self.asked.add(key)

    def _read(self, key: str) -> Levels | None:
        file = self._file(key)
        try:
            stored = load_file(file)
        except FileNotFoundError:
            return None
        except SafetensorError:  # torn: it is written anew
            file.unlink(missing_ok=True)
            return None
        return tuple(stored[str(level)] for level in range(len(stored)))

    def _write(self, key: str, levels: Levels) -> None:
        """Whole or not at all; and only what there is room for."""
        file = self._file(key)
        if file.is_file() or not self._has_room(_n_bytes(levels)):
            return
        file.parent.mkdir(exist_ok=True)
        named = {str(number): level.contiguous() for number, level in enumerate(levels)}
        with written_whole(file) as temporary:
            save_file(named, temporary)
        self.used += file.stat().st_size

    def _has_room(self, n_bytes: int) -> bool:
        if self.n_written % COUNTED_EVERY == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            files = (file for file in self.folder.rglob("*") if file.is_file())
            self.used = sum(file.stat().st_size for file in files)
        self.n_written += 1
        is_free = shutil.disk_usage(self.folder).free > n_bytes + FREE_BYTES
        return is_free and self.used + n_bytes <= self.most_bytes

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"


def _n_bytes(levels: Levels) -> int:
    return sum(level.nbytes for level in levels)
