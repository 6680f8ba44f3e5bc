"""An explainer behind any endpoint that speaks OpenAI's chat completions (paper B.1).

Prompt A describes, Prompt B validates. Pictures travel as data URIs. What comes back is read
defensively: the reply itself, a fenced block, or the outermost braces. A reply that cannot be read
is sent back once with the reason; after that the answer is None.

Questions, answers and descriptions are data: each on one line, escaped, between tags that they
cannot write, and called data in the prompts. Whatever they say, a reply that is not of the expected
form and length is no answer.
"""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal, TypeVar

from PIL import Image

from feature_atlas.meaning.auto_interp import (
    Description,
    Task,
    Usage,
    Variant,
    Verdicts,
    Written,
    prompt,
    prompts_hash,
)
from feature_atlas.meaning.chat_endpoint import ChatEndpoint, Json
from feature_atlas.meaning.interp_samples import Sample, marked_text
from feature_atlas.meaning.intruder import Picked
from feature_atlas.meaning.reply_json import (
    PREFIX,
    read_classifications,
    read_description,
    read_intruder,
)

REPAIR = "That reply could not be read: {reason}. Return only JSON, exactly of the form {form}."

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
INTRUDER_SCHEMA: Json = {
    "type": "object",
    "properties": {"intruder": {"type": "integer"}},
    "required": ["intruder"],
    "additionalProperties": False,
}


@dataclass
class OpenAIExplainer:
    """Prompts A and B over HTTP. Threads may share it."""

    endpoint: ChatEndpoint
    """Which model, where."""
    variant: Variant = "RAW"
    """OVERLAY sends each sample's overlays after its picture; OUTPUT describes tokens alone."""
    detail: Literal["low", "high", "auto"] = "low"
    """How closely the endpoint looks at pictures; low costs least."""
    name: str = "openai"
    model: str = field(init=False)
    prompt_hash: str = field(init=False)

    def __post_init__(self) -> None:
        self.model = self.endpoint.model
        self.prompt_hash = prompts_hash(self.variant)

    def describe(self, samples: Sequence[Sample]) -> Description:
        """Prompt A: one sentence from the top samples, their firing tokens marked."""
        text, reply, usage = self._ask(
            self._describe_task,
            self.to_describe(samples),
            DESCRIPTION_SCHEMA,
            DESCRIPTION_FORM,
            read_description,
        )
        return Description(text, reply, usage)

    def describe_output(self, written: Written) -> Description:
        """One sentence from the tokens that it writes, no sample shown."""
        text, reply, usage = self._ask(
            "describe_output",
            self.to_describe_output(written),
            DESCRIPTION_SCHEMA,
            DESCRIPTION_FORM,
            read_description,
        )
        return Description(text, reply, usage)

    def classify(self, description: str, samples: Sequence[Sample]) -> Verdicts:
        """Prompt B: 0 or 1 for each sample, unmarked; all None if the reply stays unreadable."""
        n = len(samples)
        answers, reply, usage = self._ask(
            self._validate_task(samples),
            self.to_classify(description, samples),
            CLASSIFICATIONS_SCHEMA,
            f'{{"classifications": [{n} times 0 or 1]}}',
            lambda text: read_classifications(text, n),
        )
        return Verdicts([None] * n if answers is None else [*answers], [reply], usage)

    def pick(self, samples: Sequence[Sample]) -> Picked:
        """Which sample does not belong to the others, their firing tokens marked."""
        n = len(samples)
        place, _, usage = self._ask(
            "intruder",
            self.to_pick(samples),
            INTRUDER_SCHEMA,
            f'{{"intruder": a number from 1 to {n}}}',
            lambda text: read_intruder(text, n),
        )
        return Picked(place, usage)

    def to_describe(self, samples: Sequence[Sample]) -> list[Json]:
        """The messages of Prompt A."""
        return _messages(self._describe_task, self._marked(samples))

    def to_describe_output(self, written: Written) -> list[Json]:
        """The messages that show tokens alone."""
        content = [
            _text("\n".join([f"<{name}>", *map(_one_line, tokens), f"</{name}>"]))
            for name, tokens in written._asdict().items()
        ]
        return _messages("describe_output", content)

    def to_pick(self, samples: Sequence[Sample]) -> list[Json]:
        """The messages that ask for the intruder."""
        return _messages("intruder", self._marked(samples))

    def to_classify(self, description: str, samples: Sequence[Sample]) -> list[Json]:
        """The messages of Prompt B."""
        content = [_text(f"<description>{PREFIX} {_one_line(description)}</description>")]
        for i, sample in enumerate(samples, 1):
            content += self._shown(i, sample, sample.question)
        return _messages(self._validate_task(samples), content)

    @property
    def _describe_task(self) -> Task:
        return "describe_overlay" if self.variant == "OVERLAY" else "describe_raw"

    def _validate_task(self, samples: Sequence[Sample]) -> Task:
        if all(sample.image is None for sample in samples):
            return "validate_text"
        return "validate_overlay" if self.variant == "OVERLAY" else "validate_raw"

    def _marked(self, samples: Sequence[Sample]) -> list[Json]:
        return [
            part for i, s in enumerate(samples, 1) for part in self._shown(i, s, marked_text(s))
        ]

    def _shown(self, number: int, sample: Sample, question: str) -> list[Json]:
        """One sample as the endpoint sees it."""
        said = f"question: {_one_line(question)}\nanswer: {_one_line(sample.answer)}"
        overlays = sample.overlays if self.variant == "OVERLAY" else ()
        pictures = [] if sample.image is None else [sample.image, *overlays]
        shown: list[Json] = [
            {"type": "image_url", "image_url": {"url": data_uri(picture), "detail": self.detail}}
            for picture in pictures
        ]
        return [_text(f'<sample number="{number}">\n{said}'), *shown, _text("</sample>")]

    def _ask(
        self,
        task: Task,
        messages: list[Json],
        schema: Json,
        form: str,
        read: Callable[[str], Answer],
    ) -> tuple[Answer | None, str, Usage]:
        """The answer, None if it cannot be read after one repair; the last reply; what it cost."""
        reply, usage = self._complete(task, messages, schema)
        try:
            return read(reply), reply, usage
        except ValueError as reason:
            repair = [
                *messages,
                {"role": "assistant", "content": reply or "(empty)"},
                {"role": "user", "content": REPAIR.format(reason=reason, form=form)},
            ]
        reply, more = self._complete(task, repair, schema)
        usage = usage.plus(more)._replace(n_repaired=1)
        try:
            return read(reply), reply, usage
        except ValueError:
            return None, reply, usage

    def _complete(self, task: Task, messages: list[Json], schema: Json) -> tuple[str, Usage]:
        reply = self.endpoint.ask(task, messages, schema)
        cost = self.endpoint.spending.cost(self.model, reply.tokens)
        return reply.text, Usage(reply.tokens.prompt, reply.tokens.reply, cost)


def data_uri(picture: Image.Image) -> str:
    """The picture as a JPEG inside a URI, colours in full resolution: some pictures are small."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, format="JPEG", quality=92, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _messages(task: Task, content: list[Json]) -> list[Json]:
    return [{"role": "system", "content": prompt(task)}, {"role": "user", "content": content}]


def _one_line(text: str) -> str:
    """Data that can neither close its tag nor begin a line of its own."""
    return escape(" ".join(text.split()), quote=False)


def _text(text: str) -> Json:
    return {"type": "text", "text": text}
