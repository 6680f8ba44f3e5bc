"""What an endpoint's error means for the request: ask again, when, and was it paid for.

The openai client knows this too, but pauses each thread by itself and past our own rate limit; and
it takes a reply for one whose HTTP says 200 and whose body says that there was an error.
"""

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import openai

QUOTA = "insufficient_quota"
"""The code of a 429 that no waiting helps."""

KINDS = {
    QUOTA: 429,
    "rate_limit": 429,
    "invalid": 400,
    "bad_request": 400,
    "authentication": 401,
    "permission": 403,
    "not_found": 404,
}
"""Status of an error whose body has a word in place of a number; of any other, 503."""


class BodyError(openai.OpenAIError):
    """An error that came in the body of a reply without error."""

    def __init__(self, said: Mapping[str, Any] | str) -> None:
        told: Mapping[str, Any] = {"message": said} if isinstance(said, str) else said
        self.code = str(told.get("code") or told.get("type") or "")
        self.param = told.get("param")
        self.status_code = _status(self.code, str(told.get("type") or ""))
        what = told.get("message") or told.get("detail") or dict(told)
        super().__init__(f"HTTP 200 with error {self.code or self.status_code}: {what}")


def error_in(response: object) -> BodyError | None:
    """The error that a body tells of in place of what was asked for."""
    body = getattr(response, "model_extra", None) or {}
    if body.get("error"):
        return BodyError(_told(body["error"]))
    if getattr(response, "object", None) == "error":
        return BodyError({name: body.get(name) for name in ("message", "type", "code", "param")})
    choices = getattr(response, "choices", None) or []
    if isinstance(choices, list) and choices:
        of_choice = (getattr(choices[0], "model_extra", None) or {}).get("error")
        if of_choice:
            return BodyError(_told(of_choice))
    return None


def _told(error: object) -> Mapping[str, Any] | str:
    return error if isinstance(error, Mapping) else str(error)


def _status(*words: str) -> int:
    for word in words:
        if re.fullmatch("[45][0-9]{2}", word):
            return int(word)
    said = " ".join(words).lower()
    return next((status for kind, status in KINDS.items() if kind in said), 503)


def status_of(error: openai.OpenAIError) -> int | None:
    """The HTTP status, or that of the body; None if no answer came."""
    if isinstance(error, openai.APIStatusError | BodyError):
        return error.status_code
    return None


def will_pass(error: openai.OpenAIError) -> bool:
    """Whether asking again may help."""
    status = status_of(error)
    if status == 429:
        return getattr(error, "code", None) != QUOTA
    if status is not None:
        return status in (408, 409) or status >= 500
    return isinstance(error, openai.APIConnectionError)


def was_refused(error: openai.OpenAIError) -> bool:
    """Whether the endpoint cannot have worked on it: it said no, or it was never reached.

    After a time-out, or a connection lost half-way, nobody knows.
    """
    cause = type(error.__cause__).__name__  # of httpx or httpx2, as the client's version has it
    return status_of(error) is not None or cause in ("ConnectError", "ConnectTimeout")


def wished_pause(error: openai.OpenAIError) -> float | None:
    """Seconds that the endpoint asks to wait, from its headers; None if it does not."""
    if not isinstance(error, openai.APIStatusError):
        return None
    headers = error.response.headers
    for name, per_second in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            return max(0.0, float(headers[name]) / per_second)
        except (KeyError, ValueError):
            continue
    try:
        until = parsedate_to_datetime(headers["retry-after"]).timestamp()
    except (KeyError, ValueError):
        return None
    return max(0.0, until - time.time())
