"""Files of a run folder: each lies inside the folder and is what the manifest says.

Files of rows are hashed. Others (SAEs, arrays between stages) are only measured: they can be huge
and are not loaded.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from feature_atlas.etl.run_folder.manifest import FileEntry, Manifest

AGAIN = "Copy or build it again."


class FileChecked(NamedTuple):
    """A file that is what the manifest says."""

    path: Path
    """Where it lies."""
    is_hashed: bool
    """Whether its content was read; otherwise only its size is known to be right."""
    n_bytes: int
    """Its size."""


def verify_files(folder: Path, manifest: Manifest) -> Iterator[FileChecked]:
    """Check every file, one after the other."""
    seen: dict[str, str] = {}
    for file in manifest.files:
        path = _inside(folder, file)
        target = os.path.realpath(path)
        if target in seen:
            raise ValueError(
                f"{folder / 'manifest.json'}: {file.path} and {seen[target]} are one file, "
                "listed twice. Build the run again."
            )
        seen[target] = file.path
        _verify_size(folder, manifest, file, path)
        if file.table is not None:
            _verify_content(folder, manifest, file, path)
        yield FileChecked(path, file.table is not None, file.bytes)


def _inside(folder: Path, file: FileEntry) -> Path:
    """Where a listed file lies, which is in the folder even after every symbolic link."""
    manifest, plain = folder / "manifest.json", PurePosixPath(file.path)
    is_plain = str(plain) == file.path and not plain.is_absolute() and ".." not in plain.parts
    if not is_plain or not plain.parts or "\\" in file.path:
        raise ValueError(
            f"{manifest}: {file.path!r} leads out of the folder or is no plain relative path; "
            "expected one like stage/table.0.parquet. Nothing outside the folder is read."
        )
    path = folder / file.path
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise ValueError(
            f"{manifest}: {file.path} leads out of the folder through a symbolic link. Put the "
            "file itself in its place; nothing outside the folder is read."
        )
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing; the manifest lists it. Copy the whole folder again."
        )
    if not path.is_file():
        raise ValueError(f"{path} is no regular file; the manifest lists it. {AGAIN}")
    return path


def _verify_size(folder: Path, manifest: Manifest, file: FileEntry, path: Path) -> None:
    size = path.stat().st_size
    if size != file.bytes:
        raise ValueError(
            f"{path} has {size} bytes, the manifest says {file.bytes}: it is truncated or "
            f"was changed{_swapped(manifest, file, path)}. {AGAIN}"
        )


def _verify_content(folder: Path, manifest: Manifest, file: FileEntry, path: Path) -> None:
    digest = _sha256(path)
    if digest != file.sha256:
        raise ValueError(
            f"{path} has sha256 {digest[:12]}..., the manifest says {file.sha256[:12]}...: "
            f"its content was changed{_swapped(manifest, file, path)}. {AGAIN}"
        )


def _swapped(manifest: Manifest, file: FileEntry, path: Path) -> str:
    """Whose content a wrong file has, if it is another listed one's."""
    size = path.stat().st_size
    others = [other for other in manifest.files if other.bytes == size and other is not file]
    digest = _sha256(path) if others else ""
    found = next((other.path for other in others if other.sha256 == digest), None)
    return f"; it has the content of {found}, so the two were swapped" if found else ""


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def open_table_file(folder: Path, file: FileEntry) -> pq.ParquetFile:
    """A file of rows, with the rows and columns that the manifest promises."""
    path = folder / file.path
    try:
        opened = pq.ParquetFile(path, pre_buffer=False)  # it would keep the whole file
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from None
    if opened.metadata.num_rows != file.rows:
        raise ValueError(
            f"{path} has {opened.metadata.num_rows} rows, the manifest says {file.rows}. {AGAIN}"
        )
    columns = opened.schema_arrow.names
    if sorted(columns) != sorted(file.columns):
        raise ValueError(
            f"{path} has columns {sorted(columns)}, the manifest says {sorted(file.columns)}. "
            f"{AGAIN}"
        )
    return opened


def unreadable(path: Path, error: Exception) -> ValueError:
    """An error about a file whose bytes are no rows."""
    return ValueError(
        f"{path} is not a readable Parquet file ({error}): it is truncated or damaged. {AGAIN}"
    )
