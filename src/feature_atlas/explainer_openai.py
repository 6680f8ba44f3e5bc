"""An explainer behind any endpoint that speaks OpenAI's chat completions (paper B.1).

Pictures travel as data URIs. A structured reply is asked for by JSON schema; an endpoint that does
not know schemas is asked more plainly, down to a bare request, and what comes back is read
defensively: the reply itself, a fenced block, or the outermost braces. A reply that cannot be read
is sent back once with the reason; after that the answer is None.

Retries on 429, 5xx, time-outs and lost connections, with growing pauses, are the client's own.
Questions and answers are data: escaped, put between <sample> tags, and called data in the prompts.
"""

import base64
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal, TypeVar

import openai
from openai.types.chat import ChatCompletion
from PIL import Image

from feature_atlas.auto_interp import Description, Variant, prompt, prompts_hash
from feature_atlas.interp_samples import Sample, marked_text

REPAIR = "That reply could not be read: {reason}. Return only JSON, exactly of the form {form}."
PREFIX = "this neuron activates for"

Json = dict[str, Any]
Answer = TypeVar("Answer")

DESCRIPTION_FORM = '{"description": "one concise sentence"}'
DESCRIPTION_SCHEMA: Json = {
    "type": "object",
    "properties": {"description": {"type": "string"}},
    "required": ["description"],
    "additionalProperties": False,
}
CLASSIFICATIONS_SCHEMA: Json = {
    "type": "object",
    "properties": {
        "classifications": {"type": "array", "items": {"type": "integer", "enum": [0, 1]}}
    },
    "required": ["classifications"],
    "additionalProperties": False,
}


@dataclass
class OpenAIExplainer:
    """Prompts A and B over HTTP."""

    base_url: str
    """Of the endpoint, usually ending in /v1."""
    model: str
    """As the endpoint calls it; the paper's is gpt-4o-mini."""
    api_key: str = field(repr=False)
    """Any word for a local server that wants none."""
    variant: Variant = "RAW"
    """OVERLAY sends each sample's overlay after its picture."""
    seed: int = 0
    """Sent along with temperature 0; endpoints promise little more than trying."""
    detail: Literal["low", "high", "auto"] = "low"
    """How closely the endpoint looks at pictures; low costs least."""
    timeout_s: float = 60.0
    """Per attempt."""
    max_retries: int = 5
    """After the first attempt, on 429, 5xx, time-outs and lost connections."""
    name: str = "openai"
    prompt_hash: str = field(init=False)
    tokens_used: int = field(default=0, init=False)
    """Prompt and reply tokens of all requests so far, as the endpoint reports them."""

    def __post_init__(self) -> None:
        self.prompt_hash = prompts_hash(self.variant)
        self._client = openai.OpenAI(
            base_url=self.base_url,
            api_key=self.api_key,
            timeout=self.timeout_s,
            max_retries=self.max_retries,
        )
        self._plainness = 0

    def describe(self, samples: Sequence[Sample]) -> Description:
        """Prompt A: one sentence from the top samples, their firing tokens marked."""
        content = [
            part for i, s in enumerate(samples, 1) for part in self._shown(i, s, marked_text(s))
        ]
        text, reply = self._ask(
            "describe", content, DESCRIPTION_SCHEMA, DESCRIPTION_FORM, read_description
        )
        return Description(text, reply)

    def classify(self, description: str, samples: Sequence[Sample]) -> list[bool | None]:
        """Prompt B: 0 or 1 for each sample, unmarked; all None if the reply stays unreadable."""
        content = [_text(f"<description>{PREFIX} {escape(description, quote=False)}</description>")]
        for i, sample in enumerate(samples, 1):
            content += self._shown(i, sample, sample.question)
        form = f'{{"classifications": [{len(samples)} times 0 or 1]}}'
        answers, _ = self._ask(
            "validate",
            content,
            CLASSIFICATIONS_SCHEMA,
            form,
            lambda reply: read_classifications(reply, len(samples)),
        )
        return [None] * len(samples) if answers is None else [*answers]

    def _shown(self, number: int, sample: Sample, question: str) -> list[Json]:
        """One sample as the endpoint sees it."""
        said = escape(f"question: {question}\nanswer: {sample.answer}", quote=False)
        pictures = [sample.image, sample.overlay if self.variant == "OVERLAY" else None]
        shown = [
            {"type": "image_url", "image_url": {"url": data_uri(picture), "detail": self.detail}}
            for picture in pictures
            if picture is not None
        ]
        return [_text(f'<sample number="{number}">\n{said}'), *shown, _text("</sample>")]

    def _ask(
        self,
        task: Literal["describe", "validate"],
        content: list[Json],
        schema: Json,
        form: str,
        read: Callable[[str], Answer],
    ) -> tuple[Answer | None, str]:
        """The answer, None if it cannot be read after one repair; and the last reply."""
        messages: list[Any] = [
            {"role": "system", "content": prompt(task, self.variant)},
            {"role": "user", "content": content},
        ]
        reply = self._complete(task, messages, schema)
        try:
            return read(reply), reply
        except ValueError as reason:
            messages += [
                {"role": "assistant", "content": reply or "(empty)"},
                {"role": "user", "content": REPAIR.format(reason=reason, form=form)},
            ]
        reply = self._complete(task, messages, schema)
        try:
            return read(reply), reply
        except ValueError:
            return None, reply

    def _complete(self, task: str, messages: list[Any], schema: Json) -> str:
        """One reply, asked for as strictly as the endpoint has been found to understand."""
        manners = self._manners(task, schema)
        for plainness in range(self._plainness, len(manners)):
            try:
                response = self._client.chat.completions.create(
                    model=self.model, messages=messages, **manners[plainness]
                )
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if plainness == len(manners) - 1:
                    raise self._explained(error) from error
                continue
            except openai.OpenAIError as error:
                raise self._explained(error) from error
            except json.JSONDecodeError as error:
                return f"(not JSON: {error.doc[:200]})"
            self._plainness = plainness
            return self._content(response)
        raise AssertionError("the plainest manner either answered or raised")

    def _content(self, response: object) -> str:
        """The reply's text, "" if it has none; its tokens are counted."""
        if not isinstance(response, ChatCompletion):  # the client hands on a body that is not JSON
            return f"(not a completion: {str(response)[:200]})"
        self.tokens_used += response.usage.total_tokens if response.usage else 0
        return (response.choices[0].message.content or "") if response.choices else ""

    def _manners(self, task: str, schema: Json) -> list[Json]:
        """Options of a request, from the strictest to none."""
        steady = {"temperature": 0, "seed": self.seed}
        named = {"name": task, "strict": True, "schema": schema}
        return [
            {**steady, "response_format": {"type": "json_schema", "json_schema": named}},
            {**steady, "response_format": {"type": "json_object"}},
            steady,
            {},
        ]

    def _explained(self, error: openai.OpenAIError) -> Exception:
        """The client's error with what to do about it."""
        where = f"{self.base_url} (model {self.model!r})"
        if isinstance(error, openai.APIConnectionError):  # time-outs too
            return ConnectionError(
                f"{where} did not answer in {self.max_retries + 1} attempts of {self.timeout_s:g} "
                f"s: {error}. Is the endpoint running, and its address right? The offline "
                "explainer needs none."
            )
        return RuntimeError(
            f"{where} refused: {error}. Check the key, the model's name and that it takes images; "
            f"429 means too many requests for this key, even after {self.max_retries} retries."
        )


# ---------------------------------------------------------------- what is sent


def data_uri(picture: Image.Image) -> str:
    """The picture as a JPEG inside a URI, colours in full resolution: some pictures are small."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, format="JPEG", quality=92, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


# ---------------------------------------------------------------- what comes back


def read_description(reply: str) -> str:
    """One lower-case line without the words the prompt began; ValueError says what is wrong."""
    text = read_json(reply).get("description")
    if not isinstance(text, str) or not text.strip():
        raise ValueError('"description" is not a sentence')
    line = " ".join(text.split()).lower().rstrip(".")
    return line.removeprefix(PREFIX).strip(" .:") or line


def read_classifications(reply: str, n: int) -> list[bool]:
    """n booleans from 0/1, true/false or "0"/"1"; ValueError says what is wrong."""
    given = read_json(reply).get("classifications")
    if not isinstance(given, list) or len(given) != n:
        found = f"{len(given)} entries" if isinstance(given, list) else "no list"
        raise ValueError(f'"classifications" has {found}, expected {n}')
    known = {"0": False, "1": True, "false": False, "true": True}
    try:
        return [known[str(entry).lower()] for entry in given]
    except KeyError as entry:
        raise ValueError(f'"classifications" has the entry {entry}, expected 0 or 1') from entry


def read_json(reply: str) -> Json:
    """The first JSON object in a reply: all of it, a fenced block, or the outermost braces."""
    fenced = re.findall(r"```(?:json)?\s*(\{.*?\})\s*```", reply, flags=re.DOTALL)
    outermost = reply[reply.find("{") : reply.rfind("}") + 1]
    for candidate in (reply, *fenced, outermost):
        try:
            value = json.loads(candidate)
        except json.JSONDecodeError:
            continue
        if isinstance(value, dict):
            return value
    raise ValueError("it holds no JSON object")
