"""Re-ingestion by command and by schedule: what is said, and what is shown."""

import json
import sys

import pytest
from run_folder import table_file, write_run_folder
from typer.testing import CliRunner
from workshop import Workshop

from feature_atlas.etl.commands.cli import app


def test_the_command_says_what_is_there_without_starting_prefect(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ATLAS_HOME", str(workshop.home))
    write_run_folder(workshop.source, name="known")
    workshop.look()
    monkeypatch.setitem(sys.modules, "feature_atlas.etl.flows", None)  # importing it would fail

    done = CliRunner().invoke(app, ["reingest", str(workshop.source)])

    assert done.exit_code == 0, done.output
    assert "unchanged: " in done.output


def test_the_flow_publishes_shows_the_drift_and_fails_for_what_is_broken(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
):
    from feature_atlas.etl import flows

    shown: dict[str, object] = {}
    keep = lambda **parts: shown.update({parts["key"]: parts.get("table") or parts["markdown"]})  # noqa: E731
    monkeypatch.setattr(flows, "create_table_artifact", keep)
    monkeypatch.setattr(flows, "create_markdown_artifact", keep)
    monkeypatch.setenv("ATLAS_HOME", str(workshop.home))
    for seed in (0, 1):
        write_run_folder(workshop.source, seed=seed, name="good")
    broken = write_run_folder(workshop.source, name="z-broken")
    table_file(broken, "selection").write_bytes(b"")

    with pytest.raises(RuntimeError, match=r"1 of 3 could not be taken:\n  broken: .*z-broken"):
        flows.reingest_flow.fn(str(workshop.source))

    statuses_shown = [row["status"] for row in shown["reingest"]]
    assert sorted(statuses_shown) == ["broken", "published", "published"]
    (table,) = (v for k, v in shown.items() if k.startswith("drift-good") and "features" not in k)
    (page,) = (v for k, v in shown.items() if k.startswith("drift-good") and "features" in k)
    assert table[-1]["layer"] == "all"
    assert "of 128 features changed" in page
    assert json.loads(json.dumps(table)) == table  # Prefect stores artifacts as JSON
