"""An endpoint that refuses an option gets all others, and what it was asked is kept."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chat_server import ChatServer, Request, running_chat_server

from feature_atlas.etl.stages.meaning.reply_ledger import ReplyLedger
from feature_atlas.meaning.chat_endpoint import ChatEndpoint
from feature_atlas.meaning.request_options import named_options
from feature_atlas.meaning.request_pace import RequestPace
from feature_atlas.meaning.spending import Spending

OPTIONS = {"response_format", "max_tokens", "seed", "temperature"}


@pytest.fixture
def chat() -> Iterator[ChatServer]:
    with running_chat_server() as chat:
        yield chat


@pytest.fixture
def connect(chat: ChatServer, tmp_path: Path) -> Iterator[Callable[..., ChatEndpoint]]:
    ledger = ReplyLedger(tmp_path / "ledger.jsonl")
    yield lambda **options: ChatEndpoint(
        chat.url, "stub", "key", ledger, Spending({}), RequestPace(), **options
    )
    ledger.close()


def ask(endpoint: ChatEndpoint, words: str) -> str:
    return endpoint.ask("task", [{"role": "user", "content": words}], {"type": "object"}).text


def refusing(*refused: str, status: int = 400, says: str = "Unsupported parameter: {}") -> Callable:
    def answer(request: Request) -> str | tuple[int, str]:
        for option in refused:
            if option in request:
                return status, json.dumps({"error": {"message": says.format(option)}})
        return "fine"

    return answer


@pytest.mark.parametrize("option", sorted(OPTIONS))
@pytest.mark.parametrize(
    ("status", "says"),
    [
        (400, "Unsupported parameter: {}"),
        (400, "no"),
        (404, "No endpoints found that support the requested parameters"),
        (415, "{} is not known here"),
        (422, "Extra inputs are not permitted"),
        (500, "{} is not implemented"),
        (500, "Internal Server Error"),
    ],
)
def test_one_option_that_is_refused_is_left_out_alone(
    chat: ChatServer, connect, option: str, status: int, says: str
) -> None:
    chat.answer = refusing(option, status=status, says=says)
    endpoint = connect(max_retries=0)

    assert ask(endpoint, "a") == ask(endpoint, "b") == "fine"
    last, before = chat.requests[-1], chat.requests[-2]
    assert OPTIONS - set(last) == {option}
    assert set(before) == set(last)  # the second question was asked so at once
    [remark] = endpoint.remarks()
    assert remark.startswith(f"stub: 2 of 2 replies were asked for without {option}")


def test_what_was_left_out_is_known_after_a_kill(chat: ChatServer, connect) -> None:
    chat.answer = refusing("seed")
    ask(connect(), "a")
    again = connect()

    assert ask(again, "a") == "fine"
    assert again.remarks() == [
        "stub: 1 of 1 replies were asked for without seed, which the endpoint refuses; everything "
        "else was sent"
    ]


def test_of_what_has_a_plainer_form_that_is_tried_first(chat: ChatServer, connect) -> None:
    def answer(request: Request) -> str | tuple[int, str]:
        if request.get("response_format", {}).get("type") == "json_schema":
            return 400, '{"error": {"message": "json_schema is not supported"}}'
        if "max_tokens" in request:
            message = "Unsupported parameter: use 'max_completion_tokens', not 'max_tokens'"
            return 400, json.dumps({"error": {"message": message, "param": "max_tokens"}})
        return "fine"

    chat.answer = answer
    endpoint = connect()

    ask(endpoint, "a")

    assert len(chat.requests) == 3
    last = chat.requests[-1]
    assert last["response_format"] == {"type": "json_object"}
    assert (last["max_completion_tokens"], last["seed"], last["temperature"]) == (1000, 0, 0)
    assert len({request["key"] for request in chat.requests}) == 3


@pytest.mark.parametrize("says", ["Unsupported parameter: {}", "no"])
def test_an_endpoint_that_takes_no_options_gets_none(chat: ChatServer, connect, says: str) -> None:
    chat.answer = refusing(*sorted(OPTIONS), "max_completion_tokens", says=says)

    assert ask(connect(), "a") == "fine"
    assert not OPTIONS & set(chat.requests[-1])


def test_one_question_that_is_refused_later_changes_nothing_for_others(
    chat: ChatServer, connect
) -> None:
    def answer(request: Request) -> str | tuple[int, str]:
        refused = "bad" in request["messages"][0]["content"]
        return (400, '{"error": {"message": "max_tokens is too large"}}') if refused else "fine"

    chat.answer = answer
    endpoint = connect()

    ask(endpoint, "a")
    assert ask(endpoint, "bad").startswith("(refused: ")
    ask(endpoint, "b")
    assert set(chat.requests[-1]) >= OPTIONS


def test_a_busy_endpoint_that_speaks_of_tokens_is_only_busy(chat: ChatServer, connect) -> None:
    chat.replies = [(429, '{"error": {"message": "lower max_tokens, you ask for too many"}}')]
    chat.answer = lambda request: "fine"

    ask(connect(), "a")
    assert set(chat.requests[-1]) >= OPTIONS


def test_an_error_names_options_in_its_order() -> None:
    assert named_options("seed? we take temperature, max_tokens") == [
        "seed", "temperature", "max_tokens"
    ]  # fmt: skip
    assert named_options("the seeds of doubt") == []
