"""The model as a small service beside the dashboards, for the page `try` and for scripts.

    GET  /health        which run and model, whether it is busy
    POST /activations   ?question=...&layer=...&feature=L/F; the picture is the body, or ?sha256= of
                        one of the run's own

Whoever reaches the machine's own address may ask: so the service listens on nothing else, and
refuses what a browser sends for a page of another site (which says so in `Origin`), or to a name
that somebody else has pointed here (which says so in `Host`). Errors are {"error": one sentence}.
"""

import asyncio
import logging

import torch
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from feature_atlas.etl.own_prompt.model_request import MAX_QUESTION, ModelRequest, read_request
from feature_atlas.etl.own_prompt.one_at_a_time import OneAtATime
from feature_atlas.etl.own_prompt.prompt_activations import prompt_activations
from feature_atlas.etl.own_prompt.refused import RefusedError
from feature_atlas.etl.own_prompt.run_model import RunModel
from feature_atlas.etl.own_prompt.uploaded_picture import MAX_BYTES, MAX_PIXELS

MOST_WAITING = 3
SECONDS = 120.0
"""For a prompt, waiting included."""
UPLOAD_SECONDS = 30.0
HOSTS = ("127.0.0.1", "localhost", "[::1]")

log = logging.getLogger("uvicorn.error")


class ModelService:
    """Answers for one model."""

    def __init__(self, model: RunModel, queue: OneAtATime | None = None) -> None:
        self.model = model
        self.queue = queue or OneAtATime(MOST_WAITING, SECONDS)

    def app(self) -> Starlette:
        """What a server serves."""
        return Starlette(
            routes=[
                Route("/health", self.health),
                Route("/activations", self.activations, methods=["POST"]),
            ],
            middleware=[Middleware(LocalOnly)],
            exception_handlers={
                RefusedError: _refused,
                HTTPException: _not_there,
                Exception: _failed,
            },
        )

    async def health(self, _request: Request) -> JSONResponse:
        """What it holds."""
        study = self.model.study
        return JSONResponse(
            {
                "run": study.run.name,
                "model": study.config.vlm.name,
                "device": self.model.device,
                "layers": study.layers,
                "is_busy": self.queue.is_busy,
                "limits": {
                    "bytes": MAX_BYTES,
                    "pixels": MAX_PIXELS,
                    "question": MAX_QUESTION,
                    "seconds": self.queue.seconds,
                },
            }
        )

    async def activations(self, request: Request) -> JSONResponse:
        """What fires on one prompt."""
        wanted = read_request(request.query_params, self.model.study.layers, self.model.d_sae)
        with self.queue.place():
            content = await _body(request)
            return JSONResponse(await self.queue.run(lambda: self._measured(wanted, content)))

    def _measured(self, wanted: ModelRequest, content: bytes) -> dict[str, object]:
        picture = wanted.picture(self.model, content)
        try:
            return prompt_activations(self.model, wanted.asked(picture)).as_json()
        except torch.OutOfMemoryError as error:
            raise RefusedError(
                507, "the device has no room for this prompt: ask with fewer layers."
            ) from error
        except ValueError as error:
            raise RefusedError(422, str(error)) from error


class LocalOnly:
    """Lets in what programs of this machine send, and nothing that other sites have sent."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        refusal = _refusal(Headers(scope=scope)) if scope["type"] == "http" else None
        await (refusal or self.app)(scope, receive, send)


def _refusal(headers: Headers) -> JSONResponse | None:
    host = headers.get("host", "")
    if host.rpartition(":")[0] not in HOSTS and host not in HOSTS:
        return _error(421, f"asked as {host[:60]!r}, expected 127.0.0.1 or localhost.")
    site = headers.get("sec-fetch-site", "none")
    if "origin" in headers or site not in ("none", "same-origin"):
        return _error(403, "a page in a browser asks: expected a program of this machine.")
    return None


async def _body(request: Request) -> bytes:
    """All of it, unless it is too much or too slow."""
    stated = request.headers.get("content-length", "0")
    if stated.isdecimal() and int(stated) > MAX_BYTES:
        raise _too_long()
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            content = bytearray()
            async for part in request.stream():
                content += part
                if len(content) > MAX_BYTES:
                    raise _too_long()
            return bytes(content)
    except ClientDisconnect:
        raise RefusedError(400, "the picture did not come whole.") from None
    except TimeoutError:
        raise RefusedError(408, f"the picture did not come in {UPLOAD_SECONDS:g} s.") from None


def _too_long() -> RefusedError:
    return RefusedError(413, f"the picture has more than {MAX_BYTES:,} bytes: send a smaller copy.")


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RefusedError)
    return _error(error.status, error.said)


async def _not_there(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _error(
        error.status_code,
        f"{request.method} {request.url.path[:60]}: expected GET /health or POST /activations.",
    )


async def _failed(_request: Request, error: Exception) -> JSONResponse:
    """The server writes the traceback into its terminal."""
    name = type(error).__name__
    return _error(
        500, f"the prompt failed ({name}): see the terminal of feature-atlas serve-model."
    )


def _error(status: int, said: str) -> JSONResponse:
    again = {"Retry-After": "5"} if status == 503 else None
    return JSONResponse({"error": said}, status, headers=again)
