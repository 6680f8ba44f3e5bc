"""Folders with wrong files: each is named, and nothing is loaded."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from loading import change, entry, refusal
from run_folder import read_rows, replace_rows, seal, table_file
from sqlalchemy import Engine

Spoil = Callable[[Path], str]
BAD: list[Spoil] = []


def bad(spoil: Spoil) -> Spoil:
    """A function that spoils a folder, and returns words that the error must hold."""
    BAD.append(spoil)
    return spoil


@bad
def a_flipped_byte(folder: Path) -> str:
    path = table_file(folder, "visual_energy")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return f"{path} has sha256"


def another_size(folder: Path) -> str:
    path = folder / "adapt" / "note.txt"
    path.write_text("")
    return f"{path} has 0 bytes, the manifest says 21"


@bad
def a_missing_file(folder: Path) -> str:
    path = table_file(folder, "overlay")
    path.unlink()
    return f"{path} is missing"


@bad
def a_folder_instead_of_a_file(folder: Path) -> str:
    path = table_file(folder, "overlay")
    path.unlink()
    path.mkdir()
    return f"{path} is no regular file"


@bad
def a_truncated_file(folder: Path) -> str:
    path = table_file(folder, "ablation")
    path.write_bytes(path.read_bytes()[:-100])
    return f"{path} has {path.stat().st_size} bytes"


@bad
def a_file_truncated_before_it_was_sealed(folder: Path) -> str:
    path = table_file(folder, "ablation")
    path.write_bytes(path.read_bytes()[:-100])
    seal(folder)
    return f"{path} is not a readable Parquet file"


@bad
def an_empty_file(folder: Path) -> str:
    path = table_file(folder, "selection")
    path.write_bytes(b"")
    seal(folder)
    return f"{path} is not a readable Parquet file"


@bad
def a_file_of_another_kind(folder: Path) -> str:
    path = table_file(folder, "selection")
    path.write_text("layer,feature\n0,0\n")
    seal(folder)
    return f"{path} is not a readable Parquet file"


@bad
def pages_damaged_before_they_were_sealed(folder: Path) -> str:
    path = table_file(folder, "visual_energy")
    pq.write_table(read_rows(folder, "visual_energy"), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[60:400] = bytes(340)
    path.write_bytes(content)
    seal(folder)
    return f"{path} is not a readable Parquet file"


@bad
def two_files_swapped(folder: Path) -> str:
    one, other = table_file(folder, "candidate"), table_file(folder, "neutral_prompt")
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    return "it has the content of neutral_prompt/neutral_prompt.0.parquet, so the two were swapped"


@bad
def two_files_of_one_size_swapped(folder: Path) -> str:
    rows = read_rows(folder, "selection")
    first, second = rows.slice(0, 64), rows.slice(64)
    path = table_file(folder, "selection")
    more = path.with_name("selection.1.parquet")
    options = {"use_dictionary": False, "compression": "none", "write_statistics": False}
    pq.write_table(first, path, **options)
    pq.write_table(second, more, **options)
    path_of_more = {"path": str(more.relative_to(folder))}
    change(folder, lambda m: m["files"].append(entry(m, "selection") | path_of_more))
    seal(folder)
    one, other = path.read_bytes(), more.read_bytes()
    assert len(one) == len(other)
    path.write_bytes(other)
    more.write_bytes(one)
    return "so the two were swapped"


@bad
def a_table_s_file_of_another_run(folder: Path) -> str:
    path = table_file(folder, "selection")
    rows = read_rows(folder, "selection")
    pq.write_table(rows.take(list(reversed(range(len(rows))))), path)
    return f"{path} has "


@bad
def rows_in_a_manifest_and_others_in_the_file(folder: Path) -> str:
    change(folder, lambda m: entry(m, "selection").update(rows=127))
    return f"{table_file(folder, 'selection')} has 128 rows, the manifest says 127"


@bad
def hugely_wrong_row_counts(folder: Path) -> str:
    change(folder, lambda m: entry(m, "selection").update(rows=2**62))
    return f"{table_file(folder, 'selection')} has 128 rows, the manifest says {2**62}"


@bad
def columns_in_a_manifest_and_others_in_the_file(folder: Path) -> str:
    change(folder, lambda m: entry(m, "selection")["columns"].pop("feature"))
    return f"{table_file(folder, 'selection')} has columns"


@bad
def a_column_twice(folder: Path) -> str:
    rows = read_rows(folder, "selection")
    replace_rows(folder, "selection", rows.append_column("layer", rows["layer"]))
    return f"{table_file(folder, 'selection')} has columns"


@bad
def text_that_is_no_utf8(folder: Path) -> str:
    rows = read_rows(folder, "auto_interp")
    texts = pa.array([b"\xff\xfe"] * len(rows)).view(pa.string())
    position = rows.column_names.index("description")
    path = replace_rows(folder, "auto_interp", rows.set_column(position, "description", texts))
    return f"{path} is not a readable Parquet file"


def move_out(folder: Path, table: str) -> Path:
    """A table's file in a place beside the folder."""
    outside = folder.parent / "outside"
    outside.mkdir()
    return Path(shutil.move(table_file(folder, table), outside / f"{table}.0.parquet"))


@bad
def a_path_that_climbs_out(folder: Path) -> str:
    target = move_out(folder, "selection")
    climbing = f"../outside/{target.name}"
    change(folder, lambda m: entry(m, "selection").update(path=climbing))
    return f"{climbing!r} leads out of the folder"


@bad
def a_path_that_climbs_out_and_back(folder: Path) -> str:
    back = f"../{folder.name}/selection/selection.0.parquet"
    change(folder, lambda m: entry(m, "selection").update(path=back))
    return f"{back!r} leads out of the folder"


@bad
def an_absolute_path(folder: Path) -> str:
    target = str(table_file(folder, "selection"))
    change(folder, lambda m: entry(m, "selection").update(path=target))
    return f"{target!r} leads out of the folder"


@bad
def a_path_with_backslashes(folder: Path) -> str:
    change(folder, lambda m: entry(m, "selection").update(path="..\\selection.0.parquet"))
    return "leads out of the folder"


@bad
def a_symbolic_link_out_of_the_folder(folder: Path) -> str:
    target, link = move_out(folder, "selection"), table_file(folder, "overlay").parents[1]
    (link / "selection" / target.name).symlink_to(target)
    return "selection/selection.0.parquet leads out of the folder through a symbolic link"


@bad
def a_linked_folder_in_the_path(folder: Path) -> str:
    outside = shutil.move(folder / "selection", folder.parent / "outside")
    (folder / "selection").symlink_to(outside)
    return "selection/selection.0.parquet leads out of the folder through a symbolic link"


@bad
def a_link_in_a_circle(folder: Path) -> str:
    path = table_file(folder, "selection")
    path.unlink()
    path.symlink_to(path)
    return f"{path} is missing"


@bad
def a_pipe(folder: Path) -> str:
    path = table_file(folder, "selection")
    path.unlink()
    os.mkfifo(path)
    return f"{path} is no regular file"


@bad
def a_file_listed_twice(folder: Path) -> str:
    change(folder, lambda m: m["files"].append(entry(m, "selection")))
    return "files.path: 'selection/selection.0.parquet' comes twice"


@bad
def a_file_listed_twice_under_two_names(folder: Path) -> str:
    alias = "selection/selection.1.parquet"
    (folder / alias).symlink_to("selection.0.parquet")
    change(folder, lambda m: m["files"].append(entry(m, "selection") | {"path": alias}))
    return f"{alias} and selection/selection.0.parquet are one file, listed twice"


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_a_folder_is_refused_that_has(spoil: Spoil, engine: Engine, folder: Path):
    words = spoil(folder)

    assert words in refusal(folder, engine)
