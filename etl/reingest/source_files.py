"""Files of a local folder or of an fsspec URL: listed, and fetched when they are far away."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem


class Place(NamedTuple):
    """A folder somewhere, and what is below it."""

    files: AbstractFileSystem
    """How its files are read."""
    root: str
    """The folder, as the file system names it."""
    names: dict[str, str]
    """Every file, relative to the folder; and the file system's own mark of its version."""

    def uri(self, folder: str) -> str:
        """A folder below as an absolute path or URL; credentials stay out of it."""
        path = self.path(folder)
        return path if self.is_local else str(self.files.unstrip_protocol(path))

    def path(self, name: str) -> str:
        """A file or folder below, as the file system names it."""
        return self.root if name == "." else f"{self.root.rstrip('/')}/{name}"

    @property
    def is_local(self) -> bool:
        """Whether its files can be opened as they are."""
        return isinstance(self.files, LocalFileSystem)


def open_place(source: str) -> Place:
    """List a folder or URL; hidden files and folders are not looked at."""
    if not source.strip():
        raise ValueError("the place of the SAE runs is empty: give a folder or an fsspec URL.")
    try:
        files, root = url_to_fs(source)
    except ImportError as error:
        raise ValueError(f"cannot read {source!r}: {error}.") from None
    if not files.isdir(root):
        raise FileNotFoundError(
            f"no folder at {source!r}: expected a folder or an fsspec URL that holds SAE runs."
        )
    found = files.find(root, detail=True)
    names = {
        path.removeprefix(root.rstrip("/")).lstrip("/"): _version(info)
        for path, info in sorted(found.items())
    }
    seen = {name: mark for name, mark in names.items() if not _is_hidden(name)}
    return Place(files, root, seen)


def fetch(place: Place, folder: str, names: Sequence[str], cache: Path) -> Path:
    """The folder on this machine: itself, or a copy that is whole or not there at all.

    A copy is made again when the file system marks a file as another version.
    """
    if place.is_local:
        return Path(place.path(folder))
    mark = hashlib.sha256(repr([(n, place.names[n]) for n in sorted(names)]).encode()).hexdigest()
    copy = _copies(place, folder, cache) / mark[:16]
    if not copy.is_dir():
        part = copy.with_name(f"{copy.name}.part-{os.getpid()}")
        shutil.rmtree(part, ignore_errors=True)
        for name in names:
            _copy(place, name, part / PurePosixPath(name).relative_to(folder))
        part.replace(copy)
    return copy


def forget_older(place: Place, folder: str, kept: Path, cache: Path) -> None:
    """Remove copies of earlier versions, and what a killed process left half."""
    if not place.is_local:
        for other in _copies(place, folder, cache).iterdir():
            if other != kept:
                shutil.rmtree(other)


def _copies(place: Place, folder: str, cache: Path) -> Path:
    return cache / hashlib.sha256(place.uri(folder).encode()).hexdigest()[:16]


def _copy(place: Place, name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    place.files.get_file(place.path(name), str(target))


def _version(info: dict[str, Any]) -> str:
    """What a listing says of one file: size, and tag or time, under whichever names."""
    return repr(sorted((key, str(value)) for key, value in info.items()))


def _is_hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    if ".." in parts:
        raise ValueError(f"a file is listed as {name!r}: it leads out of its folder.")
    return any(part.startswith(".") for part in parts)
