"""Every request to an endpoint and every reply, on disk before anything else happens.

    <run>/replies/<stage>.jsonl     {"event": "sent", "key", "model", "tokens"}
                                    {"event": "answered", "key", "model", "tokens", "text", ...}
                                    {"event": "unanswered", "key"}

So a killed stage pays for no answer twice, and knows what it may owe: a request that left and has
no other line counts as spent. The file is only appended to; half a line at its end, left by a kill,
is cut off. One process at a time. In memory are keys and places, not the texts.
"""

import fcntl
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from feature_atlas.meaning.chat_endpoint import Reply
from feature_atlas.meaning.spending import Tokens


class ReplyLedger:
    """A `ReplyStore` in a file; threads may share it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = Lock()
        self._places: dict[str, int] = {}
        self._out: dict[str, tuple[str, Tokens]] = {}
        self._spent: dict[str, Tokens] = defaultdict(lambda: Tokens(0, 0))
        file.parent.mkdir(parents=True, exist_ok=True)
        self._stream = file.open("a+b")
        try:
            self._take()
            self._replay()
        except BaseException:
            self._stream.close()
            raise

    def find(self, key: str) -> Reply | None:
        """The answer to this request, if there was one."""
        with self._lock:
            place = self._places.get(key)
            if place is None:
                return None
            self._stream.seek(place)
            line = json.loads(self._stream.readline())
        without = line.get("without", "")  # ledgers of before do not say
        return Reply(line["text"], Tokens(*line["tokens"]), line["fingerprint"], without)

    def sent(self, key: str, model: str, reserved: Tokens) -> None:
        """A request leaves; until told otherwise it is taken to cost as much."""
        self._append({"event": "sent", "key": key, "model": model, "tokens": reserved})

    def answered(self, key: str, model: str, reply: Reply) -> None:
        """Its answer."""
        self._append({"event": "answered", "key": key, "model": model, **reply._asdict()})

    def unanswered(self, key: str) -> None:
        """The request that left last did not cost anything."""
        self._append({"event": "unanswered", "key": key})

    def __len__(self) -> int:
        """How many requests were answered."""
        return len(self._places)

    def spent(self) -> dict[str, Tokens]:
        """Tokens by model, of answers and of requests of which nobody knows."""
        with self._lock:
            total = dict(self._spent)
            for model, tokens in self._out.values():
                total[model] = _plus(total.get(model, Tokens(0, 0)), tokens)
            return total

    def close(self) -> None:
        """Let another process have it."""
        self._stream.close()

    def _take(self) -> None:
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(
                f"{self.file} is in use: another process asks the endpoint for this run. Wait for "
                "it, or end it; two would pay twice."
            ) from None

    def _replay(self) -> None:
        """Read what there is; cut off half a line at the end."""
        self._stream.seek(0)
        place = 0
        for number, line in enumerate(self._stream, start=1):
            if not line.endswith(b"\n"):
                break
            self._count(self._read(line, number), place)
            place += len(line)
        self._stream.truncate(place)

    def _read(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            event: dict[str, Any] = json.loads(line)
            _ = event["event"], event["key"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self.file}, line {number}: not an event of a ledger ({error!r}). Remove that "
                "line; an answer in it will be asked, and paid, again."
            ) from None
        return event

    def _append(self, event: dict[str, Any]) -> None:
        line = json.dumps(event).encode() + b"\n"
        with self._lock:
            place = self._stream.seek(0, os.SEEK_END)
            self._stream.write(line)
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._count(event, place)

    def _count(self, event: dict[str, Any], place: int) -> None:
        """What one line changes."""
        key, kind = event["key"], event["event"]
        left = self._out.pop(key, None)
        if kind == "sent":
            if left is not None:  # sent again: of the earlier attempt nobody knows
                self._spent[left[0]] = _plus(self._spent[left[0]], left[1])
            self._out[key] = event["model"], Tokens(*event["tokens"])
        elif kind == "answered":
            self._places[key] = place
            model = event["model"]
            self._spent[model] = _plus(self._spent[model], Tokens(*event["tokens"]))


def _plus(a: Tokens, b: Tokens) -> Tokens:
    return Tokens(a.prompt + b.prompt, a.reply + b.reply)


@contextmanager
def open_ledger(run: Path, stage: str) -> Iterator[ReplyLedger]:
    """The ledger of a stage; beside the stage's folder, which is emptied before it runs."""
    ledger = ReplyLedger(run / "replies" / f"{stage}.jsonl")
    try:
        yield ledger
    finally:
        ledger.close()
