"""An OpenAI-compatible endpoint on this machine, whose vectors can be told by hand."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

MEANINGS = ("left|port|west", "where|things|places|objects")
"""Words of one meaning; each meaning is a direction, and a text points where its words do."""


def vector_of(text: str) -> list[float]:
    """How many words of each meaning, and a little of nothing in particular."""
    return [float(len(re.findall(words, text))) for words in MEANINGS] + [0.01]


class EmbeddingEndpoint:
    """Answers `POST /v1/embeddings`; keeps the requests; plays `replies` first, as they are."""

    def __init__(self) -> None:
        self.replies: list[tuple[int, str]] = []
        self.requests: list[dict[str, Any]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.requests.append({"path": self.path, **asked})
                status, body = endpoint.next_answer(asked)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Retry-After-Ms", "1")
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def next_answer(self, asked: dict[str, Any]) -> tuple[int, str]:
        if self.replies:
            return self.replies.pop(0)
        return 200, embeddings([vector_of(text) for text in asked["input"]])


@contextmanager
def running_endpoint() -> Iterator[EmbeddingEndpoint]:
    endpoint = EmbeddingEndpoint()
    Thread(target=endpoint.server.serve_forever, args=(0.01,), daemon=True).start()
    yield endpoint
    endpoint.server.shutdown()
    endpoint.server.server_close()


def embeddings(vectors: list[Any], numbers: list[Any] | None = None) -> str:
    """A reply with these vectors, numbered 0, 1, ... or as told."""
    items = [
        {"object": "embedding", "index": index, "embedding": vector}
        for index, vector in zip(numbers or range(len(vectors)), vectors, strict=True)
    ]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return json.dumps({"object": "list", "data": items, "model": "stub", "usage": usage})
