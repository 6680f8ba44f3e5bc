"""One model behind any endpoint that speaks OpenAI's chat completions, asked safely and once.

A question is known by the hash of all that is sent. What was answered before is not asked again:
the `ReplyStore` has it. Before a request leaves, it waits its turn (`RequestPace`), money is set
aside (`Spending`), and the store notes it, so that even a killed process can tell what it may owe.

Tried again, with growing pauses or the one that the endpoint asks for: 408, 409, 429, 5xx,
time-outs and lost connections, also where the error comes in the body of a 200. An endpoint that
refuses an option is asked without that one (`request_options`), which is kept with the reply.
"""

import hashlib
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple, Protocol

import openai
from openai.types.chat import ChatCompletion

from feature_atlas.meaning.endpoint_address import doubt_about, require_base_url
from feature_atlas.meaning.endpoint_errors import (
    BodyError,
    error_in,
    status_of,
    was_refused,
    will_pass,
    wished_pause,
)
from feature_atlas.meaning.option_search import REFUSALS, OptionSearch
from feature_atlas.meaning.reply_text import clean
from feature_atlas.meaning.request_options import MOST_REPLY_TOKENS, WANTED, Json
from feature_atlas.meaning.request_pace import RequestPace
from feature_atlas.meaning.spending import Spending, Tokens

CHARACTERS_PER_TOKEN = 3
"""Of English, about 4: estimates are rather too high."""
CUT = "(cut at the limit"
AT_THE_LIMIT = ("length", "max_tokens", "model_length", "MAX_TOKENS")
"""Why a reply ends that is not whole, as endpoints say it."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
LONGEST_WISH_S = 600.0
"""An endpoint that asks for a longer pause is given up for today."""


class Reply(NamedTuple):
    """What came back to one request."""

    text: str
    """The model's words, or in brackets what came in their place."""
    tokens: Tokens
    """As the endpoint reports them, else as estimated."""
    fingerprint: str | None = None
    """The endpoint's own name for the state of its model, if it tells."""
    without: str = ""
    """The options that were left out because the endpoint refuses them, in words."""


class ReplyStore(Protocol):
    """Remembers requests; every call is on disk before it returns."""

    def find(self, key: str) -> Reply | None:
        """The answer to this request, if there was one."""
        ...

    def sent(self, key: str, model: str, reserved: Tokens) -> None:
        """A request leaves; until told otherwise it is taken to cost as much."""
        ...

    def answered(self, key: str, model: str, reply: Reply) -> None:
        """Its answer."""
        ...

    def unanswered(self, key: str) -> None:
        """The request that left last did not cost anything."""
        ...


@dataclass
class ChatEndpoint:
    """Where a model is, and all that its users share."""

    base_url: str
    """Of the endpoint, usually ending in /v1."""
    model: str
    """As the endpoint calls it; the paper's is gpt-4o-mini."""
    api_key: str = field(repr=False)
    """Any word for a local server that wants none."""
    store: ReplyStore
    """What was answered before."""
    spending: Spending
    """What may be spent."""
    pace: RequestPace
    """How fast requests may leave."""
    seed: int = 0
    """Sent along with temperature 0; endpoints promise little more than trying."""
    tokens_per_picture: int = 2833
    """For estimates: what gpt-4o-mini bills for a picture of low detail; gpt-4o bills 85."""
    timeout_s: float = 60.0
    """Per attempt."""
    max_retries: int = 6
    """After the first attempt."""

    def __post_init__(self) -> None:
        require_base_url(self.base_url, "the endpoint's base_url")
        self._client = openai.OpenAI(
            base_url=self.base_url, api_key=self.api_key, timeout=self.timeout_s, max_retries=0
        )
        self._form, self._has_answered = WANTED, False
        self._without: Counter[str] = Counter()
        self._n_cut = 0
        self._lock = Lock()

    def ask(self, task: str, messages: list[Json], schema: Json) -> Reply:
        """The reply to some messages: the one of before, else a new one."""
        key = self.key(task, messages, schema)
        reply = self.store.find(key) or self._new_reply(key, task, messages, schema)
        with self._lock:
            self._without[reply.without] += 1
            self._n_cut += reply.text.startswith(CUT)
        return reply

    def remarks(self) -> list[str]:
        """What a reader of the replies must know of how they were asked for."""
        n = self._without.total()
        said = [
            f"{self.model}: {n_of:,} of {n:,} replies were asked for without {without}, which the "
            "endpoint refuses; everything else was sent"
            for without, n_of in sorted(self._without.items())
            if without
        ]
        if self._n_cut:
            said.append(
                f"{self.model}: {self._n_cut:,} of {n:,} replies were cut at {MOST_REPLY_TOKENS:,} "
                "tokens and are no answers: a model that reasons needs that switched off"
            )
        return said

    def key(self, task: str, messages: list[Json], schema: Json) -> str:
        """The hash of all that decides an answer; where the endpoint stands does not."""
        asked = [self.model, self.seed, task, messages, schema]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def estimate(self, messages: list[Json]) -> int:
        """About how many tokens some messages are, rather too many than too few."""
        parts = [p for m in messages for p in _parts(m["content"])]
        n_pictures = sum(part["type"] == "image_url" for part in parts)
        n_characters = sum(len(part.get("text", "").encode()) for part in parts)
        return n_pictures * self.tokens_per_picture + n_characters // CHARACTERS_PER_TOKEN + 20

    def _new_reply(self, key: str, task: str, messages: list[Json], schema: Json) -> Reply:
        estimate = Tokens(self.estimate(messages), MOST_REPLY_TOKENS)
        search, n_failures = OptionSearch(self._form, is_proven=self._has_answered), 0
        while True:
            reserved = self._leave(key, estimate)
            form, name = search.form, f"{key}-{search.form.name()}"
            try:
                reply = self._send(messages, form.options(task, schema, self.seed), reserved, name)
                break
            except openai.OpenAIError as error:
                if was_refused(error):
                    self._cost_nothing(key, reserved)
                if search.leaves_out(error, is_last=n_failures >= self.max_retries):
                    continue
                if status_of(error) in REFUSALS:
                    return self._refusal(key, search.first_error or error)
                n_failures += 1
                self._bear(error, n_failures)
        reply = reply._replace(without=form.without())
        self.spending.settle(self.model, reserved, reply.tokens)
        self.store.answered(key, self.model, reply)
        if not self._has_answered:
            self._form, self._has_answered = form, True
        return reply

    def _leave(self, key: str, estimate: Tokens) -> Tokens:
        """Wait for the turn, set the money aside, leave a note."""
        self.pace.wait(sum(estimate))
        reserved = self.spending.reserve(self.model, estimate)
        self.store.sent(key, self.model, reserved)
        return reserved

    def _refusal(self, key: str, error: openai.OpenAIError) -> Reply:
        """No answer, in however plain words it was asked.

        If others were answered, it is about this one: say, a picture that the endpoint will not
        see. That is a failure to be counted; else something is wrong with all.
        """
        if not self._has_answered:
            raise self._explained(error) from error
        reply = Reply(clean(f"(refused: {error})"), Tokens(0, 0))
        self.store.answered(key, self.model, reply)
        return reply

    def _bear(self, error: openai.OpenAIError, n_failures: int) -> None:
        """Pause before the next attempt: as the endpoint asks, for all; else ever longer."""
        wish = wished_pause(error)
        if n_failures > self.max_retries or not will_pass(error) or (wish or 0) > LONGEST_WISH_S:
            raise self._explained(error) from error
        if wish is not None:
            self.pace.hold(wish)
        else:
            longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (n_failures - 1))
            time.sleep(longest * random.uniform(0.5, 1))

    def _send(self, messages: list[Json], manner: Json, reserved: Tokens, name: str) -> Reply:
        """One attempt; what came back, readable or not.

        By its ``name`` an endpoint that knows idempotency keys tells a repeated request, and bills
        it once, also when its reply was lost on the way.
        """
        try:
            response = self._client.chat.completions.create(
                model=self.model,
                messages=messages,  # type: ignore[arg-type]
                extra_headers={"Idempotency-Key": name},
                **manner,
            )
        except json.JSONDecodeError as error:
            self._require_no_page(error.doc)
            return Reply(clean(f"(not JSON: {error.doc[:200]})"), reserved)
        if (told := error_in(response)) is not None:
            raise told
        if not isinstance(response, ChatCompletion):  # the client hands on a body that is not JSON
            self._require_no_page(str(response))
            return Reply(clean(f"(not a completion: {str(response)[:200]})"), reserved)
        tokens = Tokens(
            _count(response.usage, "prompt_tokens", reserved.prompt),
            _count(response.usage, "completion_tokens", reserved.reply),
        )
        fingerprint = response.system_fingerprint
        state = clean(fingerprint) if type(fingerprint) is str else None
        return Reply(_words(response), tokens, state)

    def _require_no_page(self, body: str) -> None:
        """A page of HTML is from a gateway on the way, or the address is wrong."""
        if body.lstrip()[:1] == "<":
            code = "503" if self._has_answered else "404"
            raise BodyError({"code": code, "message": f"a page of HTML: {body.strip()[:100]}"})

    def _cost_nothing(self, key: str, reserved: Tokens) -> None:
        self.store.unanswered(key)
        self.spending.settle(self.model, reserved, Tokens(0, 0))

    def _explained(self, error: openai.OpenAIError) -> Exception:
        """The client's error with what to do about it."""
        where = f"{self.base_url} (model {self.model!r})"
        if isinstance(error, openai.APIConnectionError):  # time-outs too
            return ConnectionError(
                f"{where} did not answer in {self.max_retries + 1} attempts of {self.timeout_s:g} "
                f"s: {error}. Is the endpoint running, and its address right? The offline "
                "explainer needs none. What was answered is kept: build again to go on."
            )
        return RuntimeError(
            f"{where} refused: {error}. {self._advice(error)} What was answered is kept: build "
            "again to go on."
        )

    def _advice(self, error: openai.OpenAIError) -> str:
        status = status_of(error)
        if status == 404 and "model" in str(error).lower():
            return "Check the model's name."
        if status in (404, 405):
            return f"Check the address: {doubt_about(self.base_url)}."
        if status == 429:
            return (
                f"429 means too many requests for this key, even after {self.max_retries} retries, "
                "or that its account is empty."
            )
        return "Check the key, the model's name and that it takes images."


# ---------------------------------------------------------------- reading what came back


def _parts(content: str | list[Json]) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _words(response: ChatCompletion) -> str:
    """The reply's text, or the model's refusal; "" if it has neither."""
    try:
        choice = response.choices[0]
        if choice.finish_reason in AT_THE_LIMIT:
            return f"{CUT} of {MOST_REPLY_TOKENS:,} tokens)"
        message = choice.message
        said = message.content or getattr(message, "refusal", None) or ""
    except (AttributeError, IndexError, KeyError, TypeError):  # an answer of another form
        return ""
    if isinstance(said, list):  # parts, of which some may be reasoning
        texts = [part for part in said if isinstance(part, dict) and part.get("type") == "text"]
        said = "".join(str(part.get("text") or "") for part in texts)
    return clean(str(said))


def _count(usage: object, name: str, otherwise: int) -> int:
    """A number of tokens, if the endpoint tells one."""
    number = getattr(usage, name, None)
    return number if type(number) is int and number >= 0 else otherwise
