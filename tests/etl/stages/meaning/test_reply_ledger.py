"""What was sent and answered survives a kill, to the line."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from feature_atlas.etl.stages.meaning.reply_ledger import ReplyLedger
from feature_atlas.meaning.chat_endpoint import Reply
from feature_atlas.meaning.spending import Tokens

HELLO = Reply('he said: "hello"\n', Tokens(7, 2), "fp")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "replies" / "stage.jsonl"


@pytest.fixture
def ledger(file: Path) -> Iterator[ReplyLedger]:
    ledger = ReplyLedger(file)
    yield ledger
    ledger.close()


def reopened(ledger: ReplyLedger) -> ReplyLedger:
    ledger.close()
    return ReplyLedger(ledger.file)


def test_an_answer_is_found_again_also_by_the_next_process(ledger: ReplyLedger) -> None:
    ledger.sent("a", "m", Tokens(100, 50))
    ledger.answered("a", "m", HELLO)
    ledger.sent("b", "m", Tokens(100, 50))

    assert (ledger.find("a"), ledger.find("b")) == (HELLO, None)
    later = reopened(ledger)
    assert (later.find("a"), later.find("b"), len(later)) == (HELLO, None, 1)
    later.close()


def test_what_was_spent_by_hand(ledger: ReplyLedger) -> None:
    ledger.sent("a", "m", Tokens(100, 50))
    ledger.answered("a", "m", HELLO)  # 7, 2
    ledger.sent("b", "m", Tokens(10, 5))  # timed out: nobody knows, so it counts
    ledger.sent("b", "m", Tokens(10, 5))
    ledger.unanswered("b")
    ledger.sent("c", "n", Tokens(3, 1))  # still out

    expected = {"m": Tokens(17, 7), "n": Tokens(3, 1)}
    assert ledger.spent() == expected
    later = reopened(ledger)
    assert later.spent() == expected
    later.close()


def test_half_a_line_left_by_a_kill_is_cut_off(ledger: ReplyLedger) -> None:
    ledger.sent("a", "m", Tokens(100, 50))
    ledger.answered("a", "m", HELLO)
    ledger.close()
    whole = ledger.file.read_bytes()
    for n_lost in range(1, len(whole.splitlines()[-1])):
        ledger.file.write_bytes(whole[:-n_lost])
        later = ReplyLedger(ledger.file)
        assert later.find("a") is None
        assert later.spent() == {"m": Tokens(100, 50)}  # it was sent
        later.answered("a", "m", HELLO)
        later.close()
        assert ledger.file.read_bytes() == whole


def test_a_line_that_is_no_event_is_named(ledger: ReplyLedger) -> None:
    ledger.sent("a", "m", Tokens(1, 1))
    ledger.close()
    ledger.file.write_bytes(ledger.file.read_bytes() + b"half a li\n")

    with pytest.raises(ValueError, match=r"stage\.jsonl, line 2: not an event of a ledger"):
        ReplyLedger(ledger.file)
    ledger.file.write_bytes(b"")
    ReplyLedger(ledger.file).close()  # the failed attempt let go of the file


def test_two_processes_cannot_pay_for_one_run(ledger: ReplyLedger, file: Path) -> None:
    with pytest.raises(RuntimeError, match="two would pay twice"):
        ReplyLedger(file)


def test_threads_write_whole_lines(ledger: ReplyLedger) -> None:
    def ask(number: int) -> None:
        ledger.sent(str(number), "m", Tokens(1, 1))
        ledger.answered(str(number), "m", Reply("x" * (number * 37 % 5000), Tokens(1, 1)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(60)))

    lines = ledger.file.read_bytes().splitlines()
    assert len([json.loads(line) for line in lines]) == 120
    for number in range(60):
        found = ledger.find(str(number))
        assert found is not None
        assert len(found.text) == number * 37 % 5000
