"""The service over real HTTP: answers, limits, and what it lets nobody do."""

import io
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from PIL import Image
from stage_runs.own_prompt_run import RandomRun
from stage_runs.served_model import served

from feature_atlas.etl.inputs.pictures import open_image
from feature_atlas.etl.own_prompt import model_service
from feature_atlas.etl.own_prompt.model_service import ModelService
from feature_atlas.etl.own_prompt.one_at_a_time import OneAtATime
from feature_atlas.etl.own_prompt.prompt_activations import Asked, Order, prompt_activations
from feature_atlas.etl.stages.features.feature_choice import Feature

QUESTION = "is the red circle left of the blue square"


@pytest.fixture(scope="module")
def client(random: RandomRun) -> Iterator[httpx.Client]:
    with served(ModelService(random.model)) as url, httpx.Client(base_url=url) as client:
        yield client


def ask(client: httpx.Client, content: bytes = b"", **further: object) -> httpx.Response:
    named = {"question": QUESTION, **further}
    return client.post("/activations", params=named, content=content)


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Errors are one sentence, as JSON."""
    (said,) = answer.json().values()
    assert said.endswith(".")
    return answer.status_code, said


def png(width: int, height: int) -> bytes:
    """The first bytes of a picture that would have so many pixels."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    ihdr = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + ihdr + struct.pack(">I", 9) + b"IDAT"


def test_health_says_which_run_and_model(client, random) -> None:
    found = client.get("/health").json()

    assert (found["run"], found["model"]) == ("random-12345678", "random-llava")
    assert (found["layers"], found["is_busy"]) == ([0, 1], False)


@pytest.mark.parametrize(
    "further", [{}, {"layer": 1, "top": 3, "per_token": 2, "by": "times_usual"}]
)
def test_it_answers_what_the_model_does(client, random, further) -> None:
    content = random.pictures[0].read_bytes()
    asked = Asked(open_image(random.pictures[0]), QUESTION, (0, 1))
    if further:
        asked = asked._replace(
            layers=(1,), n_features=3, n_per_token=2, order=Order.TIMES_USUAL, also=(Feature(1, 9),)
        )
        further = further | {"feature": "1/9"}

    found = ask(client, content, **further)

    assert found.status_code == 200
    assert found.json() == prompt_activations(random.model, asked).as_json()


def test_a_picture_of_the_run_is_asked_for_by_its_hash(client, random) -> None:
    (_, second) = random.model._pictures

    by_hash = ask(client, sha256=second)

    assert by_hash.json() == ask(client, random.pictures[1].read_bytes()).json()
    for other in ("0" * 64, "/etc/passwd", str(random.pictures[0]), "../0.png"):
        status, said = refused(ask(client, sha256=other))
        assert (status, "has no picture" in said) == (404, True)


@pytest.mark.parametrize(
    ("further", "status", "words"),
    [
        ({"question": " "}, 400, "no question came"),
        ({"question": "x" * 1001}, 413, "1,001 characters, expected at most 1,000"),
        ({"question": "is <image> there"}, 422, "placeholders '<image>'"),
        ({"layer": "7"}, 400, "layer='7' came, expected one of [0, 1]"),
        ({"feature": "0/64"}, 400, "feature='0/64' came, expected LAYER/FEATURE"),
        ({"top": "0"}, 400, "top='0' came, expected a number from 1 to 200"),
        ({"by": "name"}, 400, "by='name' came, expected activation or times_usual"),
        ({"path": "/etc/passwd"}, 400, "path='/etc/passwd' came, expected one of the parameters"),
    ],
)
def test_what_is_asked_wrongly_is_said(client, random, further, status, words) -> None:
    answer = ask(client, random.pictures[0].read_bytes(), **further)

    assert answer.status_code == status
    assert words in answer.json()["error"]


def film() -> bytes:
    stored = io.BytesIO()
    pages = [Image.new("RGB", (30, 30), colour) for colour in ("red", "blue")]
    pages[0].save(stored, "GIF", save_all=True, append_images=pages[1:])
    return stored.getvalue()


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"", 400, "no picture came"),
        (b"GIF89a", 415, "no readable picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", 415, "no readable picture"),
        (film(), 415, "it is a film"),
        (png(60_000, 60_000), 413, "too large"),
        (png(9000, 9000), 413, "is 9000 x 9000 pixels, expected at most 25,000,000"),
        (png(100_000, 8), 413, "one side at most 16 times as long"),
        (png(100, 100), 415, "no readable picture"),
        (b"x" * (20 * 10**6 + 1), 413, "more than 20,000,000 bytes"),
    ],
    ids=["none", "cut", "eps", "film", "bomb", "large", "line", "broken", "long"],
)
def test_a_hostile_picture_is_refused(client, content, status, words) -> None:
    found, said = refused(ask(client, content))

    assert found == status
    assert words in said


def test_a_length_that_is_not_stated_is_counted(client) -> None:
    answer = client.post(
        "/activations", params={"question": "?"}, content=(b"x" * 10**6 for _ in range(25))
    )

    assert refused(answer)[0] == 413


def test_who_leaves_before_the_picture_has_come_leaves_nothing_behind(random, monkeypatch) -> None:
    monkeypatch.setattr(model_service, "UPLOAD_SECONDS", 0.3)
    service = ModelService(random.model)
    head = b"POST /activations?question=x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n"
    with served(service) as url:
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        with socket.create_connection(address) as leaves:
            leaves.sendall(head + b"abc")
            while not service.queue.is_busy:
                time.sleep(0.01)
        while service.queue.is_busy:
            time.sleep(0.01)
        with socket.create_connection(address) as waits:
            waits.sendall(head + b"abc")
            assert waits.recv(12) == b"HTTP/1.1 408"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "atlas.example:8502"}, 421),
        ({"Host": "127.0.0.1.example"}, 421),
        ({"Origin": "http://atlas.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "localhost:8502"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
    ],
)
def test_other_sites_and_other_names_are_let_in_nowhere(client, headers, status) -> None:
    answers = [client.get("/health", headers=headers)]
    if status != 200:
        answers.append(client.post("/activations", headers=headers, content=b"x"))

    assert {answer.status_code for answer in answers} == {status}


def test_other_addresses_and_methods_say_what_there_is(client) -> None:
    assert refused(client.get("/")) == (
        404, "GET /: expected GET /health or POST /activations."
    )  # fmt: skip
    assert refused(client.get("/activations"))[0] == 405


def test_one_prompt_at_a_time_few_wait_and_others_are_told(random, monkeypatch) -> None:
    go, begun = threading.Event(), []

    def slow(model, asked):
        begun.append(asked.question)
        go.wait()
        return prompt_activations(model, asked)

    monkeypatch.setattr(model_service, "prompt_activations", slow)
    service, content = (
        ModelService(random.model, OneAtATime(2, 60.0)),
        random.pictures[0].read_bytes(),
    )
    with served(service) as url, httpx.Client(base_url=url) as client, ThreadPoolExecutor() as pool:
        asking = [pool.submit(ask, client, content, question=f"q {n}") for n in range(3)]
        while service.queue.n_inside < 3:
            time.sleep(0.01)

        busy = ask(client, content)
        health = client.get("/health").json()

        assert refused(busy)[0] == 503
        assert busy.headers["Retry-After"] == "5"
        assert health["is_busy"]
        assert len(begun) == 1
        go.set()
        assert [done.result().status_code for done in asking] == [200] * 3
        assert ask(client, content).status_code == 200


def test_what_takes_too_long_is_given_up_and_blocks_until_it_is_over(random, monkeypatch) -> None:
    go = threading.Event()
    monkeypatch.setattr(model_service, "prompt_activations", lambda *_: go.wait())
    service, content = (
        ModelService(random.model, OneAtATime(2, 0.2)),
        random.pictures[0].read_bytes(),
    )
    with served(service) as url, httpx.Client(base_url=url) as client:
        assert refused(ask(client, content))[0] == 504
        assert refused(ask(client, content))[0] == 503

        monkeypatch.undo()
        go.set()
        while service.queue.is_busy:
            time.sleep(0.01)
        service.queue.seconds = 60.0
        assert ask(client, content).status_code == 200


def test_a_fault_of_our_own_is_said_without_its_traceback(random, monkeypatch) -> None:
    monkeypatch.setattr(model_service, "prompt_activations", lambda *_: {}["secret"])
    with served(ModelService(random.model)) as url, httpx.Client(base_url=url) as client:
        status, said = refused(ask(client, random.pictures[0].read_bytes()))

    assert status == 500
    assert said.startswith("the prompt failed (KeyError)")
    assert "secret" not in said
