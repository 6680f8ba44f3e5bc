"""`feature-atlas ingest`: load a run folder, or only check it, and say what was done."""

from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from feature_atlas.etl.bridges.exported_additions import add_exported
from feature_atlas.etl.postgres.embedded import ensure_database
from feature_atlas.etl.run_folder.manifest import read_run_manifest
from feature_atlas.etl.warehouse.load import IngestReport, ingest
from feature_atlas.etl.warehouse.migrate import migrate
from feature_atlas.etl.warehouse.progress import bars
from feature_atlas.etl.warehouse.verification import Checked, verify
from feature_atlas.models.session import make_engine


def ingest_folder(folder: Path, console: Console, *, wait: bool = False) -> IngestReport:
    """Load a finished run folder, from here or from another machine."""
    read_run_manifest(folder)  # a folder that is none fails before a database is started
    engine = make_engine(ensure_database())
    migrate(engine)
    with bars(console) as progress:
        report = ingest(folder, engine, progress, wait=wait)
    added = add_exported(folder, engine)
    if report.rows:
        print_checked(report.checked, console)
        console.print(_times(report.seconds))
    console.print(f"{report.slug}: {report.status}, {sum(report.rows.values()):,} rows")
    for one in added:
        console.print(f"{one.slug}: {', '.join(one.stages)} {one.status}")
    return report


def check_folder(folder: Path, console: Console) -> Checked:
    """Verify a run folder without a database: all that `ingest` verifies, and nothing else."""
    manifest = read_run_manifest(folder)
    with bars(console) as progress:
        checked = verify(folder, manifest, progress)
    print_checked(checked, console)
    console.print(f"{manifest.slug}: may be loaded; nothing was written")
    return checked


def print_checked(checked: Checked, console: Console) -> None:
    """What was looked at, and what was only measured."""
    console.print(_tables(checked))
    for is_hashed, words in (
        (True, "read whole: sha256 as in the manifest"),
        (False, "present with the size of the manifest; content not read, it is not loaded"),
    ):
        files = [file for file in checked.files if file.is_hashed == is_hashed]
        n_bytes = sum(file.n_bytes for file in files)
        console.print(f"{len(files):,} files, {decimal(n_bytes)}: {words}", highlight=False)


def _tables(checked: Checked) -> Table:
    shown = Table("table", title="Checked", title_justify="left", show_footer=True)
    shown.columns[0].footer = f"{len(checked.tables)} tables"
    counts = {
        "files": [table.n_files for table in checked.tables],
        "rows": [table.n_rows for table in checked.tables],
        "columns": [table.n_columns for table in checked.tables],
        "values": [table.n_values for table in checked.tables],
    }
    for name, values in counts.items():
        shown.add_column(name, justify="right", footer=f"{sum(values):,}")
    for number, table in enumerate(checked.tables):
        shown.add_row(table.table, *(f"{values[number]:,}" for values in counts.values()))
    return shown


def _times(seconds: dict[str, float]) -> Table:
    shown = Table("step", title="Time", title_justify="left", show_footer=True)
    total = sum(seconds.values())
    shown.columns[0].footer = "all"
    shown.add_column("seconds", justify="right", footer=f"{total:.2f}")
    shown.add_column("share", justify="right", footer="100 %")
    for step, spent in seconds.items():
        shown.add_row(step, f"{spent:.2f}", f"{100 * spent / total:.0f} %")
    return shown
