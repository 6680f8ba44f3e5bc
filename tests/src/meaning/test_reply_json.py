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
