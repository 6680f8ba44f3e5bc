"""The stage over real HTTP: resumed after a kill, within its budget, whatever comes back."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from random import Random
from threading import Lock

import pytest
from chat_server import (
    ChatServer,
    Reply,
    Request,
    completion,
    description_in,
    is_description,
    pictures_in,
    running_chat_server,
    samples_in,
    text_in,
    verdicts,
)
from interp_stage import N_WITH_HEADS, WORDS, run_interp

from feature_atlas.etl.run_folder.artifacts import read_table, require_stage
from feature_atlas.etl.stages.meaning.auto_interp import NO_DESCRIPTION, in_order
from feature_atlas.meaning.spending import BudgetSpentError

SUPPORT = Path(__file__).parents[3] / "support"


@pytest.fixture
def chat() -> Iterator[ChatServer]:
    with running_chat_server() as chat:
        chat.answer = good_model
        yield chat


def good_model(request: Request) -> str:
    """Names the marked word; finds it again."""
    if is_description(request):
        word = text_in(request).split("**")[1]
        return json.dumps({"description": f"questions with {word}"})
    word = description_in(request).removeprefix("this neuron activates for questions with ")
    return verdicts([f" {word}?" in sample for sample in samples_in(request)])


def rows(run: Path) -> list[dict]:
    return read_table(run, "auto_interp", "auto_interp").to_pylist()


def test_every_feature_gets_its_rows(chat: ChatServer, tmp_path: Path) -> None:
    run_interp(tmp_path, chat.url, endpoint={"prices": {"stub": (1000.0, 10_000.0)}})

    found = rows(tmp_path)
    assert Counter(row["variant"] for row in found) == {"RAW": 6, "OVERLAY": N_WITH_HEADS}
    for row in found:
        assert row["description"] == f"questions with {WORDS[row['feature']]}"
        assert (row["f1"], row["mcc"], row["n_failed"]) == (1.0, 1.0, 0)
        assert row["text_only_f1"] == 1.0  # the word is in the text
        assert (row["n_positive"], row["n_negative"]) == (4, 4)
        assert (row["model"], row["grader_model"], row["explainer"]) == ("stub", "stub", "openai")
        assert json.loads(row["raw_reply"])["description"] == row["description"]
        assert len(row["raw_verdicts"]) == 2  # two short rounds
        # one description; two rounds of its own sentence, another's, and without pictures
        assert (row["tokens_used"], row["n_repaired"]) == (7 * 100, 0)
        assert row["cost_usd"] == pytest.approx(7 * 0.19)
    assert [r["shuffled_f1"] < 1 for r in found] == [True] * len(found)


def test_overlays_are_those_of_the_top_heads_for_silent_samples_too(
    chat: ChatServer, tmp_path: Path
) -> None:
    run_interp(tmp_path, chat.url, variants=("OVERLAY",))

    shown = [r for r in chat.requests if "images are withheld" not in r["messages"][0]["content"]]
    for request in shown:
        pictures = pictures_in(request)
        assert len(pictures) == 3 * len(samples_in(request))
        blue = [picture.getpixel((4, 4))[2] for picture in pictures]
        assert all(abs(b - 120) < 20 for b in blue[1::3])  # head 3
        assert all(abs(b - 200) < 20 for b in blue[2::3])  # head 5; never head 1
    warnings = require_stage(tmp_path, "auto_interp")["warnings"]
    assert warnings == ["2 features have no OVERLAY description: no head was attributed"]


def test_what_a_feature_writes_is_described_from_tokens_and_scored_on_its_samples(
    chat: ChatServer, tmp_path: Path
) -> None:
    def reader(request: Request) -> str:
        if not is_description(request):
            return good_model(request)
        assert not samples_in(request)
        word = text_in(request).splitlines()[1]  # of the likelier tokens
        return json.dumps({"description": f"questions with {word}"})

    chat.answer = reader
    run_interp(tmp_path, chat.url, variants=("OUTPUT",), endpoint={"prices": {"stub": (1.0, 1.0)}})

    found = rows(tmp_path)
    assert [row["feature"] for row in found] == [1, 2, 3, 4, 5]  # the first writes nothing
    assert {row["variant"] for row in found} == {"OUTPUT"}
    for row in found:
        assert row["description"] == f"questions with {WORDS[row['feature']]}"
        assert (row["f1"], row["tokens_used"]) == (1.0, 7 * 100)


def test_what_was_asked_for_and_how_the_model_thought_is_kept_with_the_rows(
    chat: ChatServer, tmp_path: Path
) -> None:
    def thinking(request: Request) -> Reply:
        if "seed" in request:
            return 400, '{"error": {"message": "Unsupported parameter: seed"}}'
        draft = (
            '{"description": "a draft \\ud83d"}' if is_description(request) else verdicts([True])
        )
        return f"<think>{draft}</think>{good_model(request)}"

    chat.answer = thinking
    run_interp(tmp_path, chat.url, variants=("RAW",))

    for row in rows(tmp_path):
        assert row["description"] == f"questions with {WORDS[row['feature']]}"
        assert row["raw_reply"].startswith("<think>{")
        assert (row["f1"], row["n_repaired"]) == (1.0, 0)
    warnings = require_stage(tmp_path, "auto_interp")["warnings"]
    assert [w.partition(" replies were asked for without ")[2][:5] for w in warnings] == [
        "seed,"
    ] * 2


def test_an_unreadable_description_is_a_failure_with_its_reply(
    chat: ChatServer, tmp_path: Path
) -> None:
    chat.answer = lambda r: "I would rather not" if is_description(r) else good_model(r)

    run_interp(tmp_path, chat.url, variants=("RAW",))

    assert len(chat.requests) == 2 * 6  # each repaired once; nothing to grade
    for row in rows(tmp_path):
        assert (row["description"], row["raw_reply"]) == (NO_DESCRIPTION, "I would rather not")
        assert (row["n_failed"], row["n_repaired"], row["f1"]) == (8, 1, 0.0)
        assert row["shuffled_f1"] is None


def test_a_second_model_can_grade(chat: ChatServer, tmp_path: Path) -> None:
    run_interp(tmp_path, chat.url, variants=("RAW",), grader_model="strict")

    asked = Counter((request["model"], is_description(request)) for request in chat.requests)
    assert asked == {("stub", True): 6, ("strict", False): 36}
    assert {(r["model"], r["grader_model"]) for r in rows(tmp_path)} == {("stub", "strict")}


def test_a_killed_stage_resumes_without_paying_twice(chat: ChatServer, tmp_path: Path) -> None:
    chat.delay_s = 0.03
    run, ledger = tmp_path / "killed", tmp_path / "killed/replies/auto_interp.jsonl"
    script = str(SUPPORT / "interp_stage.py")
    process = subprocess.Popen([sys.executable, script, str(run), chat.url])
    deadline = time.monotonic() + 120
    while len(chat.requests) < 15:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.1)
    lines = [json.loads(line) for line in ledger.read_bytes().splitlines(keepends=True)
             if line.endswith(b"\n")]  # fmt: skip
    answered = {line["key"] for line in lines if line["event"] == "answered"}
    n_before = len(chat.requests)
    assert len(answered) >= 10

    run_interp(run, chat.url)

    later = [request["key"].split("-")[0] for request in chat.requests[n_before:]]
    assert answered.isdisjoint(later)
    assert len(later) == len(set(later))
    all_keys = [request["key"] for request in chat.requests]
    assert len(all_keys) - len(set(all_keys)) <= 3  # out when it was killed; billed by their key
    run_interp(tmp_path / "whole", chat.url)
    assert rows(run) == rows(tmp_path / "whole")
    # RAW and OVERLAY share what was asked without pictures: asked once, counted in both rows
    n_shared = 2 * N_WITH_HEADS
    assert sum(row["tokens_used"] for row in rows(run)) == 100 * (len(chat.billed) + n_shared)


def test_a_finished_stage_run_again_asks_nobody(chat: ChatServer, tmp_path: Path) -> None:
    run_interp(tmp_path, chat.url)
    first, n_before = rows(tmp_path), len(chat.requests)
    (tmp_path / "auto_interp" / "stage.json").unlink()

    run_interp(tmp_path, chat.url)

    assert (rows(tmp_path), len(chat.requests)) == (first, n_before)


def test_the_estimate_comes_first_and_the_budget_is_kept(
    chat: ChatServer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(BudgetSpentError, match="the budget of 4,000 tokens is spent"):
        run_interp(tmp_path, chat.url, variants=("RAW",), endpoint={"budget_tokens": 4000})

    said = " ".join(capsys.readouterr().out.split())
    assert "42 requests to stub" in said
    assert "price not known" in said
    assert "Budget: 4,000 tokens" in said
    assert 0 < sum(chat.billed.values()) <= 4000
    assert not (tmp_path / "auto_interp" / "stage.json").exists()
    n_before = len(chat.requests)

    run_interp(tmp_path, chat.url, variants=("RAW",), endpoint={"budget_tokens": 100_000})

    assert f"{n_before} answers are here already" in " ".join(capsys.readouterr().out.split())
    assert len(chat.requests) == len(chat.billed) == 42
    assert len(rows(tmp_path)) == 6


def test_a_budget_in_dollars_needs_prices(chat: ChatServer, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"endpoint\.prices has no price for stub"):
        run_interp(tmp_path, chat.url, endpoint={"budget_usd": 1.0})
    assert chat.requests == []


def test_whatever_comes_back_every_feature_is_counted(chat: ChatServer, tmp_path: Path) -> None:
    """Every second reply is trouble: refused for now, garbage, half a body, the wrong length."""
    trouble: Iterator[Reply] = cycle(
        [
            (429, "{}"),
            (500, "oops"),
            (200, '{"id": "1", "choi'),
            (200, "[]"),
            "sorry, no",
            '{"classifications": [1]}',
            (503, ""),
            (200, completion('{"description": 3}')),
        ]
    )
    random, lock = Random(2), Lock()

    def moody(request: Request) -> Reply:
        if not is_description(request) and description_in(request).endswith("with above"):
            return "never"  # the first feature's grading is lost, repair and all
        with lock:
            return next(trouble) if random.random() < 0.5 else good_model(request)

    chat.answer = moody
    run_interp(tmp_path, chat.url, variants=("RAW",))

    found = rows(tmp_path)
    assert [row["feature"] for row in found] == list(range(6))
    for row in found:
        cells = ("true_positive", "false_positive", "false_negative", "true_negative")
        assert sum(row[name] for name in cells) == 8
        assert row["n_failed"] in (0, 4, 8)  # whole rounds are lost
        assert row["raw_reply"]
    first = found[0]
    if first["description"] == "questions with above":  # else its description was lost before
        assert first["raw_verdicts"] == ["never", "never"]
    assert (first["n_failed"], first["f1"]) == (8, 0.0)
    assert sum(row["n_repaired"] for row in found) > 0


def test_graders_that_do_not_read_are_seen_in_the_rows(chat: ChatServer, tmp_path: Path) -> None:
    def yes_man(request: Request) -> str:
        if is_description(request):
            return good_model(request)
        return verdicts([True] * len(samples_in(request)))

    def deaf(request: Request) -> str:
        """Answers by the sample alone, whatever the description says: right about all of them."""
        if is_description(request):
            return good_model(request)
        numbers = [int(s.removeprefix("question: ").split()[0]) for s in samples_in(request)]
        return verdicts([number % 1000 < 20 for number in numbers])

    for name, grader in (("yes", yes_man), ("deaf", deaf)):
        chat.answer = grader
        run_interp(tmp_path / name, chat.url, variants=("RAW",))

    for row in rows(tmp_path / "yes"):
        assert row["f1"] == row["shuffled_f1"] == pytest.approx(2 / 3)
        assert (row["balanced_accuracy"], row["mcc"], row["chance_p"]) == (0.5, 0.0, 1.0)
        assert (row["f1_gain_low"], row["f1_gain_high"]) == (0.0, 0.0)
    for row in rows(tmp_path / "deaf"):
        assert row["f1"] == row["shuffled_f1"] == 1.0  # high, and worth nothing
        assert (row["f1_gain_low"], row["f1_gain_high"]) == (0.0, 0.0)


def test_results_keep_their_order_and_few_items_are_held() -> None:
    made = 0

    def items() -> Iterator[int]:
        nonlocal made
        for number in range(50):
            made += 1
            yield number

    def work(number: int) -> int:
        time.sleep(0.001 * (number % 3))
        return number

    for n_done, number in enumerate(in_order(work, items(), 4)):
        assert number == n_done
        assert made - n_done <= 5


def test_an_error_stops_what_has_not_begun() -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 3:
            raise RuntimeError("no more")
        return number

    with pytest.raises(RuntimeError, match="no more"):
        list(in_order(work, range(1000), 2))
    assert len(begun) < 10
