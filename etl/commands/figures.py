"""Have the paper's figures drawn, by the room that reads, in a process of its own."""

import os
import sys
from pathlib import Path

from feature_atlas.etl.children import run_while_we_live
from feature_atlas.etl.warehouse.migrate import find_atlas


def draw_figures(run: str | None, folder: Path, ending: str) -> int:
    """Write them into the folder; the database is started when needed. Returns the exit code: 0 if
    any could be drawn; which could not, and why, is on the screen."""
    url = find_atlas()
    command = [
        *(sys.executable, "-m", "feature_atlas.dashboards.figures"),
        *("--out", str(folder), "--format", ending),
        *([] if run is None else ["--", run]),
    ]
    environment = {**os.environ, "ATLAS_DATABASE_URL": url}
    return run_while_we_live(command, environment)
