"""The words of the tiny world, one token each, and the chat format around them.

A prompt reads `<bos> <user> <image>*16 question <assistant>`, the answer ends with `<eos>`. The
template writes `<bos>`, so tokenise its output with `add_special_tokens=False`, as for LLaVA-MORE.
"""

import re

from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import (
    CLIPImageProcessorPil,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from feature_atlas.toy.describe import COLUMN_WORDS, ROW_WORDS
from feature_atlas.toy.draw import CELL_PIXELS, IMAGE_PIXELS
from feature_atlas.toy.relations import RELATIONS
from feature_atlas.toy.scene import COLOURS, LETTERS, MOST_THINGS, SHAPES

SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<unk>", "<image>", "<user>", "<assistant>")
# Also words the model never answers with, so that a user's own prompts do not all become <unk>.
OTHER_WORDS = """
    . , ? ! : ; - yes no true false is are was the a an of to in at on and or not this that these
    there it statement how many what color colour shape where which who does do say says sign
    describe image picture scene position positions location locations object objects thing things
    row column circles squares triangles stars crosses diamonds answer question using single word
    phrase briefly with side corner top bottom middle letter word words count name near beside under
    over between behind front you see can
"""

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<user>' if message['role'] == 'user' else '<assistant>' }}"
    "{% if message['content'] is string %} {{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %} {{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{% if message['role'] != 'user' %}{{ eos_token }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
PIXEL_MEAN = 0.5
PIXEL_STD = 0.25


def vocabulary() -> dict[str, int]:
    """Every token and its number; the special ones first."""
    relation_words = " ".join(RELATIONS).split()
    digits = [str(n) for n in range(MOST_THINGS + 1)]
    words = [*COLOURS, *SHAPES, *ROW_WORDS, *COLUMN_WORDS, *LETTERS, *digits, *relation_words]
    # dict.fromkeys: unique, in order.
    return {
        token: i
        for i, token in enumerate(dict.fromkeys([*SPECIAL_TOKENS, *words, *OTHER_WORDS.split()]))
    }


class Words:
    """The tokenizer's own rule in plain Python: much faster on short texts."""

    def __init__(self) -> None:
        self.numbers = vocabulary()

    def __call__(self, text: str) -> list[int]:
        """Token numbers of a text without special tokens."""
        unknown = self.numbers["<unk>"]
        words = re.findall(r"\w+|[^\w\s]+", text.lower())
        return [self.numbers.get(word, unknown) for word in words]

    def special(self, *names: str) -> list[int]:
        """Numbers of special tokens given without brackets: special("bos", "user")."""
        return [self.numbers[f"<{name}>"] for name in names]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer as transformers saves and loads it."""
    backend = Tokenizer(WordLevel(vocabulary(), unk_token="<unk>"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        additional_special_tokens=["<image>", "<user>", "<assistant>"],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def build_processor() -> LlavaProcessor:
    """Tokenizer and image processor together: 16 image tokens per picture."""
    size = {"height": IMAGE_PIXELS, "width": IMAGE_PIXELS}
    images = CLIPImageProcessorPil(
        size={"shortest_edge": IMAGE_PIXELS},
        crop_size=size,
        image_mean=[PIXEL_MEAN] * 3,
        image_std=[PIXEL_STD] * 3,
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=build_tokenizer(),
        patch_size=CELL_PIXELS,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )
