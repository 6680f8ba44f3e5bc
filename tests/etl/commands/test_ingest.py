"""The command `ingest`: what it says of a load, and of a dry run, which needs no database."""

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from run_folder import read_rows, replace_value, seal, table_file, write_run_folder
from typer.testing import CliRunner

from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.run_folder.manifest import read_manifest
from feature_atlas.etl.run_folder.table_rows import DENSE


@pytest.fixture
def no_database(atlas_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that cannot be reached: whoever asks for it fails."""
    monkeypatch.setenv("ATLAS_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")


def files_and_rows(folder: Path) -> tuple[int, int]:
    """How many files of tables the synthetic run has, one a table, and their rows."""
    files = [file for file in read_manifest(folder).files if file.table]
    return len(files), sum(file.rows or 0 for file in files)


@pytest.mark.usefixtures("no_database")
def test_a_dry_run_says_what_it_checked_and_needs_no_database(run_folder: Path):
    done = CliRunner().invoke(app, ["ingest", str(run_folder), "--dry-run"])

    assert done.exit_code == 0, done.output
    said = " ".join(done.stdout.replace("│", " ").replace("┃", " ").split())
    assert "decoder_cosine 1 768 14 10,752" in said
    n_files, n_rows = files_and_rows(run_folder)
    assert f"{n_files} tables {n_files} {n_rows:,}" in said
    assert f"{n_files} files" in said
    assert "sha256 as in the manifest" in said
    assert "1 files, 21 bytes: present with the size of the manifest; content not read" in said
    assert "may be loaded; nothing was written" in said


@pytest.mark.usefixtures("no_database")
def test_a_dry_run_of_a_bad_folder_fails_with_its_error(tmp_path: Path):
    folder = write_run_folder(tmp_path)
    path = replace_value(folder, "decoder_cosine", "cosine", 3, 1.5)

    done = CliRunner().invoke(app, ["ingest", str(folder), "--dry-run"])

    assert done.exit_code == 1
    said = done.stderr.replace("\n", "")
    assert f"error: {path}, row 3: cosine is 1.5, expected -1 to 1" in said


def test_ingest_reports_what_was_checked_and_how_long_each_step_took(
    fresh_url: str, run_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ATLAS_DATABASE_URL", fresh_url)

    first = CliRunner().invoke(app, ["ingest", str(run_folder), "--wait"])
    second = CliRunner().invoke(app, ["ingest", str(run_folder)])

    assert first.exit_code == second.exit_code == 0, first.output + second.output
    lines = [line.replace("│", " ").split() for line in first.stdout.splitlines()]
    firsts = [line[0] for line in lines if line]
    steps = ["verify", "copy", "index", "record", "publish"]
    assert [word for word in firsts if word in steps][-5:] == steps
    n_files, n_rows = files_and_rows(run_folder)
    [whole] = [line for line in lines if "tables" in line]
    assert whole[:4] == [str(n_files), "tables", str(n_files), f"{n_rows:,}"]
    wide = n_rows + 2 * 64  # and a wide row for every feature
    assert f"{run_folder.name}: published, {wide:,} rows" in first.stdout
    assert second.stdout.strip().endswith(f"{run_folder.name}: already published, 0 rows")


PEAK = """
import sys
from pathlib import Path
from feature_atlas.etl.run_folder.manifest import read_manifest
from feature_atlas.etl.warehouse.progress import silent
from feature_atlas.etl.warehouse.verification import verify

folder = Path(sys.argv[1])
verify(folder, read_manifest(folder), silent)
said = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in said if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux says the peak in /proc")
def test_four_times_the_layers_take_no_more_memory(tmp_path: Path):
    few, many = (
        in_small_groups(write_run_folder(tmp_path, layers=tuple(range(n)), d_sae=8192))
        for n in (8, 32)
    )

    # its files are 75 MB larger
    assert peak_kilobytes(many) < peak_kilobytes(few) + 40_000


def in_small_groups(folder: Path) -> Path:
    """The folder, written so that a part of a file can be read without the rest."""
    for table in DENSE:
        pq.write_table(read_rows(folder, table), table_file(folder, table), row_group_size=16_384)
    seal(folder)
    return folder


def peak_kilobytes(folder: Path) -> int:
    """Memory that verification takes at most, in a process of its own."""
    command = [sys.executable, "-c", PEAK, str(folder)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
