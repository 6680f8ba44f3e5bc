"""Serve the dashboards beside the database they read."""

import os
import sys
from importlib.resources import files
from pathlib import Path

from feature_atlas.etl.children import run_while_we_live
from feature_atlas.etl.warehouse.migrate import find_atlas


def serve_dashboard(home: Path, *, port: int) -> None:
    """Run Streamlit on 127.0.0.1 until interrupted; the database is started when needed."""
    url = find_atlas()
    app = files("feature_atlas.dashboards") / "app.py"
    environment = {**os.environ, "ATLAS_HOME": str(home), "ATLAS_DATABASE_URL": url}
    command = [
        *(sys.executable, "-m", "streamlit", "run", str(app)),
        *("--server.address", "127.0.0.1", "--server.port", str(port)),
        *("--server.headless", "true", "--browser.gatherUsageStats", "false"),
        *("--client.toolbarMode", "minimal"),
    ]
    code = run_while_we_live(command, environment)
    if code not in (0, -2, -15, 130, 143):
        raise RuntimeError(
            f"Streamlit stopped with exit code {code}: is port {port} taken? "
            "Choose another with --port."
        )
