"""The model's own chat template: how a question becomes a prompt (paper 3.1)."""

from itertools import takewhile
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

if TYPE_CHECKING:  # importing transformers' classes takes some seconds
    from transformers import ProcessorMixin

DATE = "26 Jul 2024"
"""What a chat template that writes a date writes: today's would change every activation daily."""
_ANSWER = "atlas answer"
_QUESTION = "atlas question"


def render_prompt(processor: "ProcessorMixin", question: str, *, has_image: bool) -> str:
    """One user turn in the model's own chat template, ending with the assistant header."""
    try:
        return _rendered(processor, [_turn("user", question, has_image)], ends=True)
    except TemplateError as error:
        raise ValueError(
            f"the chat template of {type(processor).__name__} writes no prompt of a single "
            f"question ({error}): repair chat_template.jinja beside the model."
        ) from error


def chat_template(processor: "ProcessorMixin") -> str:
    """The template that prompts are written with; the processor's, or else the tokenizer's."""
    template = processor.chat_template or processor.tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    if not template:
        raise ValueError(
            f"{type(processor).__name__} has no chat template: expected one beside the model "
            "(chat_template.jinja; of several the one named default), or prompts would not be "
            "those it was trained on."
        )
    return str(template)


def require_assistant_header(processor: "ProcessorMixin") -> None:
    """The prompt ends where the answer begins: yes and no are read off its last token.

    A template writes the header when it is asked to (`add_generation_prompt`), or has none of its
    own, as Mistral's. What a whole conversation has between question and answer says which.
    """
    asked = _turn("user", _QUESTION, True)
    prompt = render_prompt(processor, _QUESTION, has_image=True)
    if prompt != _rendered(processor, [asked], ends=False):
        return
    try:
        answered, spoken = (
            _rendered(processor, [asked, _turn(role, _ANSWER, False)], ends=False)
            for role in ("assistant", "user")
        )
    except TemplateError:
        return  # of single questions only: there is no header that could be missing
    if answered == spoken:
        return  # knows no roles
    between = answered[common_start(prompt, answered) : answered.rfind(_ANSWER)]
    between = between.replace(processor.tokenizer.bos_token or _ANSWER, "")
    if between.strip():
        raise ValueError(
            f"the chat template of {type(processor).__name__} ends a prompt with "
            f"{prompt[-40:]!r}, and begins an answer with {between.strip()!r}: expected that in "
            "the prompt, or yes and no are read off the wrong token. Let the template write it "
            "when add_generation_prompt is set."
        )


def common_start(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _turn(role: str, text: str, has_image: bool) -> dict[str, Any]:
    content: list[dict[str, str]] = [{"type": "image"}] if has_image else []
    return {"role": role, "content": [*content, {"type": "text", "text": text}]}


def _rendered(processor: "ProcessorMixin", turns: list[dict[str, Any]], *, ends: bool) -> str:
    template = chat_template(processor)
    dated = {"date_string": DATE} if "date_string" in template else {}
    return processor.tokenizer.apply_chat_template(  # type: ignore[no-any-return]
        turns, chat_template=template, add_generation_prompt=ends, tokenize=False, **dated
    )
