"""What an endpoint's error means for the request: ask again, when, and was it paid for.

The openai client knows this too, but pauses each thread by itself and past our own rate limit.
"""

import time
from email.utils import parsedate_to_datetime

import openai

QUOTA = "insufficient_quota"
"""The code of a 429 that no waiting helps."""


def will_pass(error: openai.OpenAIError) -> bool:
    """Whether asking again may help."""
    if isinstance(error, openai.APIStatusError):
        if error.status_code == 429:
            return error.code != QUOTA
        return error.status_code in (408, 409) or error.status_code >= 500
    return isinstance(error, openai.APIConnectionError)


def was_refused(error: openai.OpenAIError) -> bool:
    """Whether the endpoint cannot have worked on it: it said no, or it was never reached.

    After a time-out, or a connection lost half-way, nobody knows.
    """
    cause = type(error.__cause__).__name__  # of httpx or httpx2, as the client's version has it
    return isinstance(error, openai.APIStatusError) or cause in ("ConnectError", "ConnectTimeout")


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
