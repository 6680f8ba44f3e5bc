"""The stage over real HTTP and on made-up rates: who stands beside whom, and what becomes a row."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from bare_run import write_inputs
from chat_server import pictures_in, running_chat_server, samples_in
from interp_stage import Album
from numbered_sample import sample

from feature_atlas.etl.config.causes import EndpointConfig, InterpConfig, IntruderConfig
from feature_atlas.etl.run_folder.artifacts import read_rows, run_stage
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.stages.meaning import intruder as stage
from feature_atlas.meaning.intruder import Trial


@pytest.fixture
def study(tmp_path: Path) -> SimpleNamespace:
    write_inputs(tmp_path)
    config = SimpleNamespace(
        intruder=IntruderConfig(n_trials=3, judge="openai", n_beside=2), auto_interp=None, seed=0
    )
    return SimpleNamespace(run=tmp_path, layers=[3, 5], config=config)


def test_intruders_come_from_features_of_the_layer_that_fire_about_as_often(
    study: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = np.array([[0.5, 0.1, 0, 0.2, 0.012, 0.01], [0.4, 0.3, 0, 0, 0.2, 0]], np.float32)
    monkeypatch.setattr(stage, "by_layer", lambda *_: rates)

    beside = stage._beside(study, [Feature(3, 1), Feature(3, 5), Feature(5, 2)])

    # by ratio: 0.2 is twice 0.1, 0.5 five times; of one that never fires, the rarest
    assert beside == {
        (3, 1): [(3, 3), (3, 0)],
        (3, 5): [(3, 4), (3, 1)],
        (5, 2): [(5, 4), (5, 1)],
    }


def test_a_feature_becomes_a_row_with_what_the_endpoint_found_and_cost(
    study: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint sees pictures and marks, and always says 2."""
    monkeypatch.setitem(os.environ, "OPENAI_API_KEY", "no-key")
    right, wrong = (Trial([sample(n) for n in range(place, place + 5)], place) for place in (1, 4))
    trials = {Feature(0, 1): [right, wrong, right], Feature(0, 2): [wrong, right, right]}
    with running_chat_server() as chat:
        chat.answer = lambda request: '{"intruder": 2}'
        settings = EndpointConfig(
            base_url=chat.url, n_at_once=1, tokens_per_picture=20, prices={"stub": (1e3, 1e4)}
        )
        study.config.auto_interp = InterpConfig(model="stub", endpoint=settings)
        done = run_stage(
            study.run, "intruder", params={}, reads=[],
            body=lambda output: stage._ask_endpoint(output, study, Album(), trials),
        )  # fmt: skip
        requests = chat.requests

    assert not done.was_done
    assert len(samples_in(requests[0])) == len(pictures_in(requests[0])) == 5
    assert "**above**" in samples_in(requests[0])[0]
    assert len(requests) == 2  # the same trial is not paid for twice
    rows = read_rows(study.run, "intruder", "intruder")
    found = [(r["layer"], r["feature"], r["judge"], r["n_right"], r["n_failed"]) for r in rows]
    assert found == [(0, 1, "openai", 2, 0), (0, 2, "openai", 2, 0)]
    assert rows[0]["accuracy"] == pytest.approx(2 / 3)
    assert rows[0]["tokens_used"] == 3 * 100
    assert rows[0]["cost_usd"] == pytest.approx(3 * 0.19)
