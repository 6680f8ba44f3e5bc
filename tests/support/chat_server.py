"""An OpenAI-compatible chat endpoint on this machine, over real HTTP, that plays every part.

It answers from a list of replies (text, or a status with a body), then by a function of the
request. It counts what it bills, once per idempotency key, as a careful endpoint does.
"""

import base64
import io
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

from PIL import Image

Reply = str | tuple[int, str]
Request = dict[str, Any]

PROMPT_TOKENS, REPLY_TOKENS = 90, 10


class ChatServer:
    """Keeps the requests; ``replies`` are played first, in order."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.requests: list[Request] = []
        self.answer: Callable[[Request], Reply] = lambda request: "{}"
        self.headers = {"Retry-After-Ms": "1"}
        self.delay_s = 0.0
        self.billed: Counter[str] = Counter()
        self.n_at_once = self.most_at_once = 0
        self.lock = Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                name = self.headers.get("Idempotency-Key", "")
                status, answer = server.serve({"path": self.path, "key": name, **body})
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    for header, value in server.headers.items():
                        self.send_header(header, value)
                    self.end_headers()
                    self.wfile.write(answer.encode())
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client was killed, or gave up
                finally:
                    with server.lock:
                        server.n_at_once -= 1

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def serve(self, request: Request) -> tuple[int, str]:
        with self.lock:
            self.requests.append(request)
            self.n_at_once += 1
            self.most_at_once = max(self.most_at_once, self.n_at_once)
            reply = self.replies.pop(0) if self.replies else self.answer(request)
            if isinstance(reply, str):
                self.billed[request["key"]] = PROMPT_TOKENS + REPLY_TOKENS
        time.sleep(self.delay_s)
        return reply if isinstance(reply, tuple) else (200, completion(reply))


def completion(text: str, prompt_tokens: int = PROMPT_TOKENS) -> str:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": REPLY_TOKENS}
    return json.dumps(
        {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": "stub",
            "system_fingerprint": "fp_1",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {**usage, "total_tokens": sum(usage.values())},
        }
    )


@contextmanager
def running_chat_server() -> Iterator[ChatServer]:
    chat = ChatServer()
    Thread(target=chat.server.serve_forever, args=(0.01,), daemon=True).start()
    yield chat
    chat.server.shutdown()
    chat.server.server_close()


# ---------------------------------------------------------------- what a request says


def is_description(request: Request) -> bool:
    return "Produce one short" in request["messages"][0]["content"]


def text_in(request: Request) -> str:
    parts = request["messages"][1]["content"]
    return "\n".join(part["text"] for part in parts if part["type"] == "text")


def samples_in(request: Request) -> list[str]:
    """What stands between the sample tags: all that an obedient model judges."""
    return re.findall(r'<sample number="\d+">\n(.*?)\n</sample>', text_in(request), flags=re.DOTALL)


def description_in(request: Request) -> str:
    [said] = re.findall(r"<description>(.*?)</description>", text_in(request), flags=re.DOTALL)
    return said


def pictures_in(request: Request) -> list[Image.Image]:
    """Every picture, decoded."""
    parts = request["messages"][1]["content"]
    uris = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    assert all(uri.startswith("data:image/jpeg;base64,") for uri in uris)
    pictures = [Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))) for uri in uris]
    for picture in pictures:
        picture.load()
    return pictures


def verdicts(answers: list[bool]) -> str:
    return json.dumps({"classifications": [int(answer) for answer in answers]})
