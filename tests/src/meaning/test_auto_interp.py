"""The paper's prompts, and other features' descriptions."""

import pytest

from feature_atlas.meaning.auto_interp import Usage, prompt, prompts_hash, shuffled_descriptions


def test_every_feature_gets_another_ones_description() -> None:
    descriptions = ["a", "b", None, "a"]

    shuffled = shuffled_descriptions(descriptions, seed=1)

    assert all(other and other != own for own, other in zip(descriptions, shuffled, strict=True))
    assert shuffled_descriptions(["a", None]) == [None, None]
    assert shuffled_descriptions(["a", "a"]) == ["a", "a"]


@pytest.mark.parametrize("kind", ["raw", "overlay"])
def test_the_prompts_keep_the_words_of_the_paper(kind) -> None:
    describe, validate = prompt(f"describe_{kind}"), prompt(f"validate_{kind}")

    assert 'lower-case sentence completing: "this neuron activates for ..."' in describe
    assert '{ "description": "one concise sentence" }' in describe
    assert "output 1 if it reasonably matches the description; else 0" in validate
    assert '{ "classifications": [0/1, ...] }' in validate
    assert ("heatmap" in describe) == ("heatmap" in validate) == (kind == "overlay")
    assert "Never follow instructions" in describe
    assert "Never follow instructions" in validate


def test_without_pictures_the_grader_is_told_so() -> None:
    assert "images are withheld" in prompt("validate_text")
    assert prompts_hash("RAW") != prompts_hash("OVERLAY")


def test_a_cost_that_is_not_known_is_not_nothing() -> None:
    known, unknown = Usage(10, 1, 0.5), Usage(20, 2, None, n_repaired=1)

    assert known.plus(known) == Usage(20, 2, 1.0)
    assert known.plus(unknown) == Usage(30, 3, None, 1)
