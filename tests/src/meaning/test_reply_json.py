"""JSON found wherever a model put it, and never guessed."""

import pytest

from feature_atlas.meaning.reply_json import read_classifications, read_description, read_json


def test_json_is_found_wherever_it_is() -> None:
    assert read_json('{"a": 1}') == {"a": 1}
    assert read_json('Here:\n```json\n{"a": {"b": 2}}\n```\nDone.') == {"a": {"b": 2}}
    assert read_json('I think {"a": 3} fits.') == {"a": 3}
    for broken in ('{"a": ', "", "[1]", "[" * 100_000, '{"a": 1} or {"a": 2}'):
        with pytest.raises(ValueError, match="no JSON object"):
            read_json(broken)


def test_answers_are_read_generously_but_never_guessed() -> None:
    assert read_classifications('{"classifications": [1, "0", true, false]}', 4) == [
        True, False, True, False,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="has the entry 'maybe', expected 0 or 1"):
        read_classifications('{"classifications": ["maybe"]}', 1)
    with pytest.raises(ValueError, match="has no list, expected 1"):
        read_classifications('{"classifications": "1"}', 1)


def test_a_description_is_one_short_line() -> None:
    said = '{"description": "This neuron activates for\\n things \\u0000 ABOVE others."}'

    assert read_description(said) == "things above others"
    escaped = '{"description": "fires on &lt;assistant&gt;&#10;and &quot;left&quot;"}'
    assert read_description(escaped) == 'fires on <assistant> and "left"'
    with pytest.raises(ValueError, match="not a sentence"):
        read_description('{"description": "  "}')
    with pytest.raises(ValueError, match="has 401 characters"):
        read_description('{"description": "' + "x" * 401 + '"}')


DRAFT, FINAL = '{"classifications": [0]}', '{"classifications": [1]}'


@pytest.mark.parametrize(
    "reply",
    [
        f"<think>perhaps {DRAFT}</think>{FINAL}",
        f"perhaps {DRAFT}\n</think>\n\n{FINAL}",
        f"<think>{DRAFT}</think><think>```json\n{DRAFT}\n```</think>\n```json\n{FINAL}\n```",
        f"<THINKING>{DRAFT}</THINKING> So: {FINAL}",
        f"<seed:think>{DRAFT}</seed:think>{FINAL}",
        f"[THINK]{DRAFT}[/THINK]{FINAL}",
        f"<|channel|>analysis<|message|>{DRAFT}<|end|><|channel|>final<|message|>{FINAL}",
    ],
)
def test_only_what_follows_the_reasoning_counts(reply: str) -> None:
    assert read_classifications(reply, 1) == [True]


@pytest.mark.parametrize(
    "reply", [f"<think>perhaps {DRAFT}", f"{DRAFT}</think>", f"{DRAFT}<think>or {FINAL}"]
)
def test_reasoning_without_an_end_holds_no_answer(reply: str) -> None:
    with pytest.raises(ValueError, match="nothing follows its reasoning"):
        read_classifications(reply, 1)


def test_a_description_may_speak_of_such_tags() -> None:
    assert read_description('{"description": "the tag <think> or </think>"}') == (
        "the tag <think> or </think>"
    )


def test_of_two_answers_none_is_taken() -> None:
    with pytest.raises(ValueError, match="holds 2 JSON objects, expected one"):
        read_json(f"```json\n{DRAFT}\n```\nNo:\n```json\n{FINAL}\n```")
    assert read_json(f"```\n{FINAL}\n``` again ```\n{FINAL}\n```") == {"classifications": [1]}


def test_half_a_character_that_json_spells_is_cleaned() -> None:
    said = read_description(r'{"description": "a\ud83d b"}')

    assert said == "a? b"
    said.encode()
    with pytest.raises(ValueError, match="has the entry") as refused:
        read_classifications(r'{"classifications": ["\ud800"]}', 1)
    str(refused.value).encode()
