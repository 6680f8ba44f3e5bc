"""The page "Runs": states, warnings, checks, provenance, disk; flows with a server and without."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import httpx
import pytest
import streamlit as st
from run_folder import WARNINGS, read_rows
from sqlalchemy import text

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.queries.run_health import COPIED, FACTS
from feature_atlas.dashboards.runs.flows_now import flows_now
from feature_atlas.etl.warehouse.promote import promise_run, release_run
from feature_atlas.models.features.feature_record import FeatureRecord
from feature_atlas.models.session import make_engine

PAGE = "runs/runs.py"


class FakePrefect(BaseHTTPRequestHandler):
    """Answers as Prefect does: one flow run, with a name that would be HTML."""

    asked: list[dict] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append({"path": self.path, **json.loads(body)})
        flow = {
            "name": "<b>wise-owl</b>", "state_name": "Running", "parameters": {"config": "x"},
            "start_time": "2026-11-28T09:00:00Z", "estimated_run_time": 61.5,
        }  # fmt: skip
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps([flow]).encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def prefect() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), FakePrefect)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/api"
    server.shutdown()
    server.server_close()


def test_the_ledger_has_every_run_with_what_its_partitions_weigh(series_atlas) -> None:
    runs = queries.ledger().set_index("run_id")

    assert runs.state.to_dict() == {
        1: "superseded", 2: "superseded", 3: "published", 4: "published"
    }  # fmt: skip
    assert runs.is_current.tolist() == [True, False, False, False]  # the newest is first
    engine = make_engine(series_atlas)
    with engine.connect() as connection:
        size = text("SELECT pg_total_relation_size('atlas.selection_run_2')")
        selection = connection.scalar(size)
    engine.dispose()
    sizes = queries.partition_sizes(2).set_index("table").bytes
    assert sizes["selection"] == selection
    assert sizes.sum() == runs.disk[2]


@pytest.fixture
def stable(series_atlas: str) -> Iterator[str]:
    """The slug of the second run, which is stable for a while."""
    engine = make_engine(series_atlas)
    slug = promise_run(engine, "2").slug
    st.cache_data.clear()
    yield slug
    release_run(engine, "stable")
    engine.dispose()


def test_the_stable_run_can_be_named_in_the_address(stable: str, open_page) -> None:
    app = open_page(PAGE, run="stable")

    assert not app.exception
    assert app.query_params["run"] == "2"
    (chosen,) = [choice for choice in app.selectbox if choice.label == "Run"]
    assert (chosen.value, [o for o in chosen.options if "stable" in o]) == (
        2,
        [o for o in chosen.options if o.startswith(stable)],
    )


def test_where_no_run_is_stable_the_address_says_how_to_name_one(series_atlas, open_page) -> None:
    app = open_page(PAGE, run="stable")

    assert "feature-atlas runs promote --stable RUN" in app.error[0].value


def test_warnings_of_every_kind_stand_in_one_place(series_atlas, series_folders) -> None:
    warnings = queries.run_warnings(1)

    assert warnings[warnings.kind == "stage"].warning.tolist() == list(WARNINGS)
    gates = read_rows(series_folders[0], "gate_check").to_pandas()
    off = gates[gates.fvu > 1.2 * gates.stated_fvu]
    assert warnings[warnings.kind == "gate check"].place.tolist() == [
        f"layer {layer}" for layer in off.layer
    ]
    assert "forward check" not in set(warnings.kind)


@pytest.mark.parametrize(
    ("table", "stage"), [("candidate", "neutral_prompt"), ("head_exact", "exact_patch")]
)
def test_a_tables_origin_is_the_stage_that_wrote_it(series_atlas, table, stage) -> None:
    origin = queries.origins(2, table)

    assert origin.stage.tolist() == [stage]
    assert origin.input_fingerprint.tolist() == [f"inputs-of-{stage}"]
    with pytest.raises(ValueError, match="no table of facts"):
        queries.origins(2, "run; DROP")


def test_every_column_of_the_wide_row_has_a_source() -> None:
    copied = [column for columns in COPIED.values() for column in columns]

    assert set(copied) == set(FeatureRecord.__table__.columns.keys()) - {
        "run_id",
        "layer",
        "feature",
    }
    assert len(copied) == len(set(copied))
    assert set(COPIED) <= set(FACTS)


def test_a_number_is_traced_in_two_clicks(series_atlas, open_page) -> None:
    app = open_page(PAGE, run=2)

    assert not app.exception
    assert app.subheader[0].value == "4 warnings"
    app.selectbox(key="column_choice").set_value("survives_ocr").run()
    app.selectbox(key="table_choice").set_value("head_exact").run()

    assert not app.exception
    assert app.query_params["table"] == "head_exact"
    facts = " ".join(element.proto.body for element in app.get("html"))
    assert "exact_patch" in facts


def test_the_page_asks_a_prefect_server_what_is_running(
    prefect, full_atlas, open_page, monkeypatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", prefect)

    app = open_page(PAGE)

    assert not app.exception
    flows = next(table.value for table in app.dataframe if "parameters" in table.value)
    assert flows.name.tolist() == ["<b>wise-owl</b>"]
    assert FakePrefect.asked[-1]["path"] == "/api/flow_runs/filter"
    assert "RUNNING" in FakePrefect.asked[-1]["flow_runs"]["state"]["type"]["any_"]


def test_without_a_server_a_line_says_how_to_see_flows(full_atlas, open_page, monkeypatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    unnamed = open_page(PAGE)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    away = open_page(PAGE)

    assert any("`PREFECT_API_URL`" in caption.value for caption in unnamed.caption)
    assert any("does not answer" in caption.value for caption in away.caption)
    with pytest.raises(httpx.HTTPError):
        flows_now("http://127.0.0.1:1/api")
