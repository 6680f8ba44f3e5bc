"""Templates and tokenizers of every kind: understood token by token, or refused."""

from typing import Any

import pytest
import torch
from families import QUESTIONS, SUFFIX, family, prompts
from family_parts import CHATML, GEMMA, Family, llama_tokenizer, template
from transformers import MllamaConfig, MllamaForConditionalGeneration, ProcessorMixin

from feature_atlas.vlm.chat_template import require_assistant_header
from feature_atlas.vlm.decoder_inputs import require_image_tokens
from feature_atlas.vlm.processor_call import require_processor
from feature_atlas.vlm.token_roles import PromptBatch, Role, constant_prefix, encode_prompts


def with_template(name: str, *parts: str, **settings: str) -> ProcessorMixin:
    processor = family(name).processor
    processor.chat_template = template(*parts, **settings)
    return processor


def words(processor: ProcessorMixin, batch: PromptBatch, row: int, role: Role) -> str:
    return processor.tokenizer.decode(batch.input_ids[row][batch.roles[row] == role])


@pytest.mark.parametrize("has_picture", [True, False])
@pytest.mark.parametrize(
    ("head", "image", "tail", "ask"),
    [
        ("USER: ", "<image>\n", " ", "ASSISTANT:"),
        ("[INST] ", "<image>", " [/INST]", ""),
        ("Human:", " <image> ", "\n", "Assistant: "),
        ("", "<image>\n", "", "\nAnswer:"),
    ],
)
def test_a_token_is_the_questions_if_it_holds_one_of_its_characters(
    head: str, image: str, tail: str, ask: str, has_picture: bool
) -> None:
    processor = with_template("llava", head, image, tail, ask, begin="{{ bos_token }}")
    batch = prompts(Family(family("llava").model, processor))
    if not has_picture:
        batch = encode_prompts(processor, QUESTIONS, None, suffix=SUFFIX)

    for row, question in enumerate(QUESTIONS):
        assert words(processor, batch, row, Role.QUESTION).strip() == question
        assert words(processor, batch, row, Role.SUFFIX).strip() == SUFFIX
        assert words(processor, batch, row, Role.HEADER).strip()
    assert len(constant_prefix(batch)) >= 1


@pytest.mark.parametrize(("name", "parts"), [("llava_qwen", CHATML), ("llava_gemma2", GEMMA)])
def test_a_template_without_an_assistant_header_is_refused(
    name: str, parts: tuple[str, str, str]
) -> None:
    whole = with_template(name, parts[0], "<image>\n", parts[1], parts[2])
    require_assistant_header(whole)
    headless = with_template(name, parts[0], "<image>\n", parts[1], "")

    with pytest.raises(ValueError, match=r"begins an answer with .*add_generation_prompt is set"):
        require_assistant_header(headless)


def test_a_prompt_that_ends_with_the_question_is_refused() -> None:
    processor = with_template("llava", "USER: ", "<image>\n", "", "", begin="{{ bos_token }}")

    with pytest.raises(ValueError, match=r"ends with its question.*expected the header"):
        encode_prompts(processor, QUESTIONS, None)


def test_headers_that_need_no_asking_and_templates_of_one_turn_are_taken() -> None:
    require_assistant_header(family("llava_mistral").processor)  # [/INST] always
    once = with_template("llava", "", "<image>", "", "")
    once.chat_template = (
        "{% if messages | length > 1 %}{{ raise_exception('one turn') }}{% endif %}"
        "<image>{{ messages[0]['content'][-1]['text'] }}\nAnswer:"
    )
    require_assistant_header(once)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("<image>{{ messages[0]['content'][-1]['text'] }}{% bad", r"writes no prompt .*'bad'"),
        ("{{ raise_exception('system first') }}", r"writes no prompt .*system first"),
        ({"tool_use": "<image>Answer:"}, r"no chat template.*the one named default"),
        ("", r"no chat template"),
    ],
)
def test_a_template_that_writes_nothing_is_one_sentence(written: Any, said: str) -> None:
    processor = family("llava").processor
    processor.chat_template = written

    with pytest.raises(ValueError, match=said):
        require_assistant_header(processor)
    with pytest.raises(ValueError, match=said):
        encode_prompts(processor, QUESTIONS, None)


def test_padding_written_with_bos_is_not_counted() -> None:
    processor = family("llava").processor
    processor.tokenizer.pad_token = processor.tokenizer.bos_token

    batch = encode_prompts(processor, QUESTIONS, None)

    assert (batch.roles == Role.BOS).sum(1).tolist() == [1, 1]
    assert (batch.roles == Role.PAD).sum() == (batch.attention_mask == 0).sum() > 0


def test_a_tokenizer_without_bos_has_no_such_role() -> None:
    made = family("llava_qwen")

    assert made.processor.tokenizer.bos_token_id is None
    assert not (prompts(made).roles == Role.BOS).any()


def changed(attribute: str, value: Any) -> ProcessorMixin:
    processor = family("llava").processor
    owner = processor if hasattr(processor, attribute) else processor.tokenizer
    setattr(owner, attribute, value)
    return processor


@pytest.mark.parametrize(
    ("attribute", "value", "said"),
    [
        ("pad_token", None, r"no padding token.*finetune_right_pad_id"),
        ("patch_size", None, r"patch_size null.*processor_config.json"),
        ("image_processor", None, r"prepares no pictures and texts together"),
    ],
)
def test_a_processor_that_cannot_do_it_is_refused_in_one_sentence(
    attribute: str, value: Any, said: str
) -> None:
    require_processor(family("llava").processor)

    with pytest.raises(ValueError, match=said):
        require_processor(changed(attribute, value))


def test_pictures_that_enter_by_cross_attention_are_refused_with_the_reason() -> None:
    size = len(llama_tokenizer())
    text = {
        "vocab_size": size, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "cross_attention_layers": [1],
        "pad_token_id": 2,
    }  # fmt: skip
    vision = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "image_size": 28,
        "num_global_layers": 1, "attention_heads": 2, "patch_size": 14, "vision_output_dim": 32,
        "intermediate_layers_indices": [0], "max_num_tiles": 1,
        "supported_aspect_ratios": [[1, 1]],
    }  # fmt: skip
    with torch.device("meta"):
        crossed = MllamaForConditionalGeneration(
            MllamaConfig(text_config=text, vision_config=vision, image_token_index=size)
        )

    with pytest.raises(ValueError, match=r"by cross-attention \(layers \[1\]\)"):
        require_image_tokens(crossed)
    require_image_tokens(family("llava").model)
