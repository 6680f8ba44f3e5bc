"""The page "Try it": against a service that says what a test wants, and against a real one."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from stage_runs.own_prompt_run import random_run
from stage_runs.served_model import served
from streamlit.testing.v1 import AppTest

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.vlm.patch_heat import patch_heat, shown_picture
from feature_atlas.etl.inputs.pictures import open_image
from feature_atlas.etl.own_prompt.model_service import ModelService
from feature_atlas.etl.own_prompt.prompt_activations import Asked, prompt_activations
from feature_atlas.etl.stages.features.feature_choice import Feature

PAGE = "vlm/try_it.py"
EVIL = "<img src=x onerror=alert(1)>"
LIMITS = {"bytes": 20_000_000, "question": 1000}


def fires(token: int, layer: int, feature: int, activation: float, ratio: float | None) -> dict:
    names = ("token", "layer", "feature", "activation", "times_usual")
    return dict(zip(names, (token, layer, feature, activation, ratio), strict=True))


def on(layer: int, feature: int, tokens: list, activations: list, ratios: list) -> dict:
    names = ("layer", "feature", "tokens", "activations", "times_usual")
    return dict(zip(names, (layer, feature, tokens, activations, ratios), strict=True))


PATCHES = [[0, 0, 24, 48], [24, 0, 48, 48]]
ANSWER = {
    "question": "is it ?",
    "width": 48,
    "height": 48,
    "answer": f"yes {EVIL}",
    "layers": [0, 1],
    "tokens": [
        *({"text": "", "role": "image", "box": box} for box in PATCHES),
        {"text": EVIL, "role": "question", "box": None},
        {"text": " ?", "role": "question", "box": None},
    ],
    "strongest": [fires(0, 1, 0, 3.0, 1.5), fires(1, 1, 0, 1.0, 0.5), fires(2, 0, 7, 2.0, None)],
    "features": [
        on(1, 0, [0, 1, 3], [3.0, 1.0, 2.0], [1.5, 0.5, 4.0]),
        on(0, 7, [2], [2.0], [None]),
    ],
}


class Stub:
    """A service whose words a test chooses; remembers what it was asked."""

    def __init__(self) -> None:
        self.run = str(queries.runs().slug[0])
        self.answer: tuple[int, dict[str, Any]] = (200, ANSWER)
        self.asked: list[dict[str, list[str]]] = []
        self.bodies: list[bytes] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.say(200, {"run": stub.run, "limits": LIMITS})

            def do_POST(self) -> None:
                stub.asked.append(parse_qs(urlsplit(self.path).query))
                stub.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                status, answer = stub.answer
                self.say(status, {"run": stub.run, **answer})

            def say(self, status: int, content: dict[str, Any]) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture
def stub(full_atlas: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    made = Stub()
    Thread(target=made.server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("ATLAS_MODEL_URL", f"http://127.0.0.1:{made.server.server_port}")
    yield made
    made.server.shutdown()
    made.server.server_close()


def tables(app: AppTest) -> list[pd.DataFrame]:
    return [table.value for table in app.dataframe]


def texts(app: AppTest) -> str:
    return " ".join(element.value for element in app.text)


def html(app: AppTest) -> str:
    return " ".join(element.proto.body for element in app.get("html"))


def test_without_a_service_the_page_says_how_to_start_it(
    full_atlas: str, monkeypatch: pytest.MonkeyPatch, open_page: Callable[..., AppTest]
) -> None:
    monkeypatch.setenv("ATLAS_MODEL_URL", "http://127.0.0.1:1")

    app = open_page(PAGE)

    assert not app.exception
    assert "No model is here to try" in app.info[0].value
    slug = queries.runs().slug[0]
    assert app.code[0].value == f"feature-atlas serve-model --run {slug}"
    assert "http://127.0.0.1:1" in texts(app)


def test_a_service_of_another_run_is_not_asked(stub, open_page) -> None:
    stub.run = "other-12345678"

    app = open_page(PAGE)

    assert "another run" in app.warning[0].value
    assert "Served: other-12345678" in texts(app)
    assert stub.asked == []


def test_a_picture_of_the_run_is_named_by_its_hash_and_shown_with_its_features(
    stub, open_page
) -> None:
    app = open_page(PAGE)

    assert not app.exception
    (number,) = [box.value for box in app.selectbox if box.key == "sample_choice"]
    sample = queries.sample(int(number)).iloc[0]
    assert stub.asked == [
        {"question": [sample.question], "by": ["activation"], "sha256": [sample.sha256]}
    ]
    assert stub.bodies == [b""]
    strongest, on_token = tables(app)
    assert strongest.link.iloc[0] == "feature?run=1&layer=1&feature=0"
    assert strongest.activation.tolist() == [3.0, 2.0]
    assert strongest.times_usual.tolist()[0] == 1.5  # where its activation is largest
    assert strongest["where"].tolist() == ["patch 0–24, 0–48", EVIL]
    assert list(zip(strongest.n_patches, strongest.n_words, strict=True)) == [(2, 1), (0, 1)]
    assert on_token.activation.tolist() == [2.0]  # of the first word
    assert EVIL not in html(app)
    assert "&lt;img" in html(app)
    assert f"yes {EVIL}" in texts(app)


def test_everything_in_the_address_is_asked_and_shown(stub, open_page) -> None:
    number = queries.example_samples(1, 0, 5).sample_id.iloc[-1]

    app = open_page(
        PAGE, sample=number, question="is it", layer=1, by="how unusual", feature="1/0", token=1
    )

    assert not app.exception
    sha256 = queries.sample(int(number)).sha256[0]
    assert stub.asked == [
        {"question": ["is it"], "by": ["times_usual"], "layer": ["1"], "sha256": [sha256]}
    ]
    strongest, on_token = tables(app)
    assert strongest.times_usual.iloc[0] == 4.0  # where it is most unusual
    assert on_token.activation.tolist() == [1.0]
    chosen = {box.key: box.value for box in app.selectbox}
    assert (chosen["feature_choice"], chosen["token_choice"]) == ("1/0", "1")


def test_a_weak_feature_of_the_address_is_asked_for_by_name(stub, open_page) -> None:
    asked_before = len(stub.asked)

    open_page(PAGE, feature="0/9")
    open_page(PAGE, feature="0/64")  # there is none

    assert [one.get("feature") for one in stub.asked[asked_before:]] == [None, ["0/9"]]


@pytest.mark.parametrize("status", [400, 503, 504])
def test_what_the_service_will_not_do_is_said_in_its_own_words(stub, open_page, status) -> None:
    stub.answer = (status, {"error": f"[busy](http://x) {EVIL}."})

    app = open_page(PAGE)

    assert not app.exception
    assert "did not answer" in app.error[0].value
    assert f"[busy](http://x) {EVIL}." in texts(app)
    stub.answer = (200, ANSWER)
    assert len(tables(app.run())) == 2  # nothing of a refusal is kept


def test_a_sample_that_is_not_there_is_said(stub, open_page) -> None:
    for number in ("99999999", "9" * 40):
        assert "does not have" in open_page(PAGE, sample=number).error[0].value


def test_ones_own_picture_goes_to_a_real_model(
    full_atlas: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    open_page: Callable[..., AppTest],
) -> None:
    run = random_run(tmp_path / str(queries.runs().slug[0]), monkeypatch)
    content, question = run.pictures[1].read_bytes(), "is the red circle left ?"
    with served(ModelService(run.model)) as url:
        monkeypatch.setenv("ATLAS_MODEL_URL", url)
        app = open_page(PAGE, question=question, feature="1/9")
        app.file_uploader[0].upload("own.png", content, "image/png").run()

    assert not app.exception
    asked = Asked(open_image(run.pictures[1]), question, (0, 1), also=(Feature(1, 9),))
    truth = prompt_activations(run.model, asked)
    strongest, _ = tables(app)
    assert list(zip(strongest.layer, strongest.feature, strict=True)) == [
        (one.layer, one.feature) for one in truth.features
    ]
    assert strongest.activation.tolist() == pytest.approx(
        [max(one.activations, default=0) for one in truth.features]
    )
    assert f"{question}  →  {truth.answer}".strip() in texts(app)
    assert len(app.get("plotly_chart")) == 1


def test_the_veil_is_clear_where_the_feature_is_strongest() -> None:
    picture = Image.new("RGB", (20, 10), "red")
    boxes = [(-5, 0, 10, 10), (10, 0, 20, 10), (0, 0, 5, 5)]  # the first reaches into padding
    patches = pd.DataFrame(
        {"token": [0, 1, 2], "box": boxes, "activation": [1.0, 0.0, 4.0], "times_usual": np.nan}
    )

    figure = patch_heat(picture, (20, 10), patches, "1")

    veil, points = figure.data
    assert veil.x.tolist() == [0, 5, 10, 20]
    assert veil.y.tolist() == [0, 5, 10]
    assert veil.z.tolist() == [[4, 1, 0], [1, 1, 0]]
    assert (points.x[1], points.y[1]) == (15, 5)
    (frame,) = figure.layout.shapes
    assert (frame.x0, frame.x1) == (10, 20)


def test_a_picture_is_shown_upright_on_white_and_small(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGBA", (2000, 500), (0, 0, 0, 0)).save(tmp_path / "own.png", exif=exif)

    shown = shown_picture((tmp_path / "own.png").read_bytes())

    assert shown.size == (128, 512)
    assert shown.getpixel((5, 5)) == (255, 255, 255)
