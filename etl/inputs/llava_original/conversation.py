"""How LLaVA and LLaVA-MORE write a conversation: each of their formats as a chat template.

The picture stands first in the user's turn, before a newline, as in their training.
"""

import json
from string import Template
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

SEES = (
    "You are a helpful language and vision assistant. You are able to understand the visual "
    "content that the user provides, and assist the user with a variety of tasks using natural "
    "language."
)
VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions."
)


class Conversation(NamedTuple):
    """What stands around the turns."""

    system: str
    """Before the first turn; `{date}` where the template writes its date."""
    user: tuple[str, str]
    """Before and after what the user says."""
    assistant: tuple[str, str]
    """Before and after what the model says."""
    writes_bos: bool
    """Whether the format writes a BOS itself; else the tokenizer decides."""


def _llama(system: str) -> Conversation:
    user, assistant, system_header = (
        f"<|start_header_id|>{role}<|end_header_id|>\n\n"
        for role in ("user", "assistant", "system")
    )
    end = "<|eot_id|>"
    return Conversation(f"{system_header}{system}{end}", (user, end), (assistant, end), True)


LLAMA_3 = _llama(SEES)
LLAMA_3_1 = _llama(f"Cutting Knowledge Date: December 2023\nToday Date: {{date}}\n\n{SEES}")
R1 = Conversation(
    SEES, ("<｜User｜>", ""), ("<｜Assistant｜>", "<｜end▁of▁sentence｜>"), writes_bos=True
)
GEMMA_2 = Conversation(
    "",
    ("<start_of_turn>user\n", "<end_of_turn>\n"),
    ("<start_of_turn>model\n", "<end_of_turn>\n"),
    writes_bos=True,
)
PHI_4 = Conversation(
    "<|system|>You are a helpful AI assistant.<|end|>",
    ("<|user|>", "<|end|>"),
    ("<|assistant|>", "<|end|>"),
    writes_bos=False,
)
VICUNA_1 = Conversation(f"{VICUNA} ", ("USER: ", " "), ("ASSISTANT: ", "</s>"), writes_bos=False)


def find_conversation(model_type: str, tokenizer: PreTrainedTokenizerBase) -> Conversation:
    """The format that a checkpoint was tuned with, told by the special tokens it needs."""
    vocabulary = tokenizer.get_vocab()
    if model_type == "llava_gemma":
        return GEMMA_2
    if model_type == "llava_phi":
        return PHI_4
    if "<｜User｜>" in vocabulary:
        return R1
    if "<|start_header_id|>" not in vocabulary:
        return VICUNA_1
    return LLAMA_3_1 if "<|finetune_right_pad_id|>" in vocabulary else LLAMA_3


def chat_template(
    conversation: Conversation, tokenizer: PreTrainedTokenizerBase, image_token: str
) -> str:
    """A Jinja template: text or pieces of text and picture in each turn of user and assistant."""
    adds_bos = tokenizer("a").input_ids[0] == tokenizer.bos_token_id
    begin = "{{- bos_token }}" if conversation.writes_bos or adds_bos else ""
    before, _, after = conversation.system.partition("{date}")
    if after:
        begin += "{%- if not date_string is defined %}{%- set date_string = '26 Jul 2024' %}"
        begin += "{%- endif %}"
        begin += f"{{{{- {_text(before)} + date_string + {_text(after)} }}}}"
    elif before:
        begin += f"{{{{- {_text(before)} }}}}"
    return _TURNS.substitute(
        begin=begin,
        image=_text(f"{image_token}\n"),
        user_opens=_text(conversation.user[0]),
        user_closes=_text(conversation.user[1]),
        model_opens=_text(conversation.assistant[0]),
        model_closes=_text(conversation.assistant[1]),
        # Vicuna's header ends with a blank that belongs to the reply
        header=_text(conversation.assistant[0].rstrip(" ")),
    )


def _text(words: str) -> str:
    return json.dumps(words, ensure_ascii=False)


_TURNS = Template("""\
$begin
{%- for message in messages %}
    {%- if message['content'] is string %}
        {%- set text = message['content'] %}
    {%- else %}
        {%- set pieces = namespace(text='') %}
        {%- for piece in message['content'] %}
            {%- if piece['type'] == 'image' %}
                {%- set pieces.text = pieces.text + $image %}
            {%- else %}
                {%- set pieces.text = pieces.text + piece['text'] %}
            {%- endif %}
        {%- endfor %}
        {%- set text = pieces.text %}
    {%- endif %}
    {%- if message['role'] == 'user' %}
        {{- $user_opens + (text | trim) + $user_closes }}
    {%- elif message['role'] == 'assistant' %}
        {{- $model_opens + (text | trim) + $model_closes }}
    {%- else %}
        {{- raise_exception('the system message is that of the tuning: user and assistant alone') }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- $header }}
{%- endif %}""")
