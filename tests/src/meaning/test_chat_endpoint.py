"""Requests over real HTTP: retried, paced, paid once, and given up with a reason."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from chat_server import ChatServer, Reply, completion, running_chat_server

from feature_atlas.etl.stages.meaning.reply_ledger import ReplyLedger
from feature_atlas.meaning.chat_endpoint import ChatEndpoint
from feature_atlas.meaning.request_options import MOST_REPLY_TOKENS
from feature_atlas.meaning.request_pace import RequestPace
from feature_atlas.meaning.spending import BudgetSpentError, Price, Spending, Tokens

SCHEMA = {"type": "object"}
GOOD = "fine"


@pytest.fixture
def chat() -> Iterator[ChatServer]:
    with running_chat_server() as chat:
        yield chat


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[ReplyLedger]:
    ledger = ReplyLedger(tmp_path / "ledger.jsonl")
    yield ledger
    ledger.close()


@pytest.fixture
def connect(chat: ChatServer, ledger: ReplyLedger) -> Callable[..., ChatEndpoint]:
    def connect(*replies: Reply, **options) -> ChatEndpoint:
        chat.replies = list(replies)
        spending = options.pop("spending", None) or Spending({"stub": Price(1, 1)})
        base_url = options.pop("base_url", chat.url)
        return ChatEndpoint(base_url, "stub", "no-key", ledger, spending, RequestPace(), **options)

    return connect


def messages(text: str = "hello") -> list[dict]:
    return [{"role": "system", "content": "be brief"}, {"role": "user", "content": text}]


def test_a_request_says_what_it_wants(chat: ChatServer, connect) -> None:
    endpoint = connect(GOOD, seed=3)

    reply = endpoint.ask("task", messages(), SCHEMA)

    assert reply == (GOOD, Tokens(90, 10), "fp_1", "")
    [request] = chat.requests
    assert request["path"] == "/v1/chat/completions"
    assert (request["model"], request["temperature"], request["seed"]) == ("stub", 0, 3)
    assert request["max_tokens"] == MOST_REPLY_TOKENS
    assert request["response_format"]["json_schema"]["strict"] is True
    assert request["key"] == endpoint.key("task", messages(), SCHEMA) + "-0"


def test_the_same_question_is_asked_once(chat: ChatServer, connect) -> None:
    endpoint = connect(GOOD, "other")

    first = endpoint.ask("task", messages(), SCHEMA)

    assert endpoint.ask("task", messages(), SCHEMA) == first
    assert endpoint.ask("task", messages("another"), SCHEMA).text == "other"
    assert len(chat.requests) == 2


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_busy_endpoint_is_asked_again(chat: ChatServer, connect, status: int) -> None:
    endpoint = connect((status, "{}"), (status, "{}"), GOOD)

    assert endpoint.ask("task", messages(), SCHEMA).text == GOOD
    assert len(chat.requests) == 3
    assert endpoint.spending.n_tokens == 100  # the refused ones cost nothing
    assert len({request["key"] for request in chat.requests}) == 1


def test_all_threads_wait_as_long_as_the_endpoint_asks(chat: ChatServer, connect) -> None:
    chat.headers = {"Retry-After": "0.4"}
    endpoint = connect((429, "{}"), GOOD)
    chat.answer = lambda request: GOOD

    started = time.monotonic()
    endpoint.ask("task", messages(), SCHEMA)

    assert 0.4 <= time.monotonic() - started < 5


def test_an_endpoint_that_asks_for_an_hour_is_given_up(chat: ChatServer, connect) -> None:
    chat.headers = {"Retry-After": "3600"}

    with pytest.raises(RuntimeError, match="What was answered is kept: build again to go on"):
        connect((429, "{}")).ask("task", messages(), SCHEMA)
    assert len(chat.requests) == 1


def test_an_empty_account_is_not_asked_again(chat: ChatServer, connect) -> None:
    body = json.dumps({"error": {"message": "no money", "code": "insufficient_quota"}})

    with pytest.raises(RuntimeError, match="no money"):
        connect((429, body)).ask("task", messages(), SCHEMA)
    assert len(chat.requests) == 1


def test_a_slow_endpoint_is_asked_again_and_what_it_may_have_cost_is_counted(
    chat: ChatServer, connect
) -> None:
    chat.delay_s = 0.6
    endpoint = connect(GOOD, GOOD, timeout_s=0.2, max_retries=1)

    with pytest.raises(ConnectionError, match=r"did not answer in 2 attempts of 0.2 s"):
        endpoint.ask("task", messages(), SCHEMA)
    reserved = endpoint.estimate(messages()) + MOST_REPLY_TOKENS
    assert endpoint.spending.n_tokens == 2 * reserved
    assert len(chat.billed) == 1  # by the idempotency key the endpoint knows it for one


def test_an_absent_endpoint_says_so_and_costs_nothing(connect) -> None:
    endpoint = connect(base_url="http://127.0.0.1:9/v1", max_retries=0)

    with pytest.raises(ConnectionError, match="did not answer in 1 attempts"):
        endpoint.ask("task", messages(), SCHEMA)
    assert endpoint.spending.n_tokens == 0


def test_one_refused_picture_is_a_failure_among_answers_and_not_asked_again(
    chat: ChatServer, connect
) -> None:
    refusals = [(400, '{"error": {"message": "unsafe picture"}}')] * 4
    endpoint = connect(GOOD, *refusals)
    endpoint.ask("task", messages("a"), SCHEMA)

    reply = endpoint.ask("task", messages("b"), SCHEMA)

    assert reply.text.startswith("(refused: ")
    assert "unsafe picture" in reply.text
    assert endpoint.ask("task", messages("b"), SCHEMA) == reply
    assert len(chat.requests) == 5


def test_an_endpoint_that_refuses_everything_is_not_a_hundred_failures(connect) -> None:
    with pytest.raises(RuntimeError, match=r"\(model 'stub'\) refused: .*bad form"):
        connect(*[(400, '{"error": {"message": "bad form"}}')] * 9).ask("t", messages(), SCHEMA)


def test_a_refused_key_says_what_to_check_and_is_not_shown(connect) -> None:
    endpoint = connect((401, '{"error": {"message": "bad key"}}'))

    with pytest.raises(RuntimeError, match=r"\(model 'stub'\) refused: .*bad key.* Check the key"):
        endpoint.ask("task", messages(), SCHEMA)
    assert "no-key" not in repr(endpoint)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('{"id": "1", "choi', "(not JSON: "),
        ("[]", "(not a completion: "),
        ('"garbage"', "(not a completion: "),
        ('{"choices": []}', ""),
        ('{"choices": "no", "usage": {"prompt_tokens": "many"}}', ""),
        ('{"choices": [{"message": null}]}', ""),
        ('{"choices": [{"message": {"content": null, "refusal": "I will not"}}]}', "I will not"),
        (
            '{"choices": [{"message": {"content": [{"type": "thinking", "thinking": "{}"}, '
            '{"type": "text", "text": "so"}]}}]}',
            "so",
        ),
        (completion("a\0b\ud800"), "a\ufffdb"),
    ],
)
def test_garbage_is_a_reply_to_be_read_later_and_costs_what_was_set_aside(
    connect, body: str, text: str
) -> None:
    endpoint = connect((200, body))

    reply = endpoint.ask("task", messages(), SCHEMA)

    assert reply.text.startswith(text)
    reply.text.encode()
    assert "\0" not in reply.text
    assert endpoint.spending.n_tokens == sum(reply.tokens) > 0


def test_a_reply_that_was_cut_is_no_answer_and_is_told_of(connect) -> None:
    whole = completion('{"classifications": [1]} is a draft')
    endpoint = connect((200, whole.replace('"stop"', '"length"')), GOOD)

    assert endpoint.ask("task", messages(), SCHEMA).text == "(cut at the limit of 1,000 tokens)"
    assert endpoint.ask("task", messages("b"), SCHEMA).text == GOOD
    [remark] = endpoint.remarks()
    assert remark.startswith("stub: 1 of 2 replies were cut at 1,000 tokens")


@pytest.mark.parametrize(
    "body",
    [
        '{"error": {"message": "overloaded", "code": 529}}',
        '{"error": {"message": "slow down", "code": "rate_limit_exceeded"}, "choices": null}',
        '{"error": "no worker"}',
        '{"object": "error", "message": "out of memory", "type": "InternalServerError"}',
        '{"choices": [{"finish_reason": "error", "message": {"content": ""}, "error":'
        ' {"code": 502, "message": "upstream"}}]}',
    ],
)
def test_an_error_in_the_body_of_a_200_is_an_error_of_its_code(
    chat: ChatServer, connect, ledger: ReplyLedger, body: str
) -> None:
    endpoint = connect((200, body), GOOD)

    assert endpoint.ask("task", messages(), SCHEMA).text == GOOD
    assert len(chat.requests) == 2
    assert endpoint.spending.n_tokens == 100  # the error cost nothing
    assert len(ledger) == 1


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"message": "who are you", "code": 401}, "who are you.* Check the key"),
        ({"message": "no money", "code": "insufficient_quota"}, "no money"),
        ({"message": "no such model", "type": "not_found_error"}, "Check the model's name"),
    ],
)
def test_an_error_in_a_body_that_will_not_pass_is_not_asked_again(
    chat: ChatServer, connect, ledger: ReplyLedger, told: dict, said: str
) -> None:
    chat.answer = lambda request: (200, json.dumps({"error": told}))

    with pytest.raises(RuntimeError, match=said):
        connect().ask("task", messages(), SCHEMA)
    assert len(ledger) == 0


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "does not end in /v1, as most do: try http://127.0.0.1:.*/v1"),
        ("/v1/v1", "names v1 twice: try http://127.0.0.1:[0-9]*/v1[.]"),
        ("/api/v9", "is it the address of an endpoint"),
    ],
)
@pytest.mark.parametrize("answer", [(404, '{"detail": "Not Found"}'), (200, "<html>Hello</html>")])
def test_a_wrong_address_is_told_of(
    chat: ChatServer, connect, ledger: ReplyLedger, path: str, said: str, answer: Reply
) -> None:
    base = chat.url.removesuffix("/v1") + path
    chat.answer = lambda request: answer

    with pytest.raises(RuntimeError, match=f"Check the address: .*{said}"):
        connect(base_url=base).ask("task", messages(), SCHEMA)
    assert len(ledger) == 0


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://h/v1/chat/completions", "the address of one call; expected 'http://h/v1'"),
        ("localhost:8000/v1", "expected an address such as http://localhost:8000/v1"),
    ],
)
def test_an_address_that_cannot_be_right_is_refused_at_once(connect, address: str, said: str):
    with pytest.raises(ValueError, match=said):
        connect(base_url=address)


def test_the_budget_stops_before_it_is_passed(chat: ChatServer, connect) -> None:
    """1100 tokens a request set aside, 100 billed: as many go as are sure to fit."""
    chat.answer = lambda request: GOOD
    endpoint = connect(spending=Spending({}, budget_tokens=3000))

    def ask_on() -> None:
        for number in range(100):
            endpoint.ask("task", messages(str(number)), SCHEMA)

    with pytest.raises(BudgetSpentError, match="raise the budget and build again"):
        ask_on()

    assert 1500 < sum(chat.billed.values()) <= 3000
    assert len(chat.requests) == len(chat.billed)


def test_requests_that_are_out_together_are_bounded_by_the_threads(
    chat: ChatServer, connect
) -> None:
    chat.answer, chat.delay_s = lambda request: GOOD, 0.02
    endpoint = connect()

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda n: endpoint.ask("task", messages(str(n)), SCHEMA), range(40)))

    assert len(chat.requests) == 40
    assert 1 < chat.most_at_once <= 5


def test_an_estimate_counts_pictures_and_letters(connect) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:..."}}
    content = [{"type": "text", "text": "x" * 300}, picture, picture]

    endpoint = connect(tokens_per_picture=85)

    assert endpoint.estimate([{"role": "user", "content": content}]) == 2 * 85 + 100 + 20
