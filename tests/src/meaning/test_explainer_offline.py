"""The explainer without a language model: hand-counted odds, readable sentences, honest scores."""

from math import log
from random import Random

import pytest
from scipy.stats import chi2_contingency

from feature_atlas.meaning.auto_interp import Written
from feature_atlas.meaning.explainer_offline import (
    NOTHING,
    OfflineExplainer,
    Rule,
    evidence,
    learn_rule,
    log_odds,
    matches,
    over_represented_tokens,
    read_rule,
    sentence,
    words_of,
)
from feature_atlas.meaning.interp_samples import Sample, choose_described, choose_scored
from feature_atlas.meaning.label_score import score_description

COLOURS, SHAPES = ["red", "blue", "green", "cyan"], ["circle", "square", "star", "object"]
RELATIONS = ["left of", "right of", "above", "below", "next to", "far from"]


def spatial(random: Random, relation: str, fires_on: str | None = None) -> Sample:
    """One like "Is the red circle left of the blue star?"."""
    a, b = random.sample(COLOURS, 2)
    question = f"Is the {a} {random.choice(SHAPES)} {relation} the {b} {random.choice(SHAPES)}?"
    tokens = question.replace("?", " ?").lower().split()
    return Sample(
        question,
        random.choice(["yes", "no"]),
        tokens,
        [float(token == fires_on) for token in tokens],
        image_id=random.randrange(10**6),
        relation=relation,
    )


def other(random: Random) -> Sample:
    """A question that is not spatial."""
    colour, shape = random.choice(COLOURS), random.choice(SHAPES)
    question, answer = random.choice(
        [
            (f"How many {shape}s are there?", random.choice("123")),
            (f"What color is the {shape}?", colour),
            (f"Is there a {colour} {shape}?", random.choice(["yes", "no"])),
            (f"Where is the {colour} {shape}?", "row one column a"),
        ]
    )
    tokens = question.replace("?", " ?").lower().split()
    return Sample(question, answer, tokens, [0.0] * len(tokens), image_id=random.randrange(10**6))


def world(seed: int = 0) -> list[Sample]:
    random = Random(seed)
    return [other(random) for _ in range(150)] + [
        spatial(random, relation) for relation in RELATIONS for _ in range(25)
    ]


def test_log_odds_by_hand() -> None:
    assert log_odds(3, 5, 1, 10) == pytest.approx(log(3.5 / 2.5) - log(1.5 / 9.5))
    assert log_odds(2, 4, 50, 100) == 0.0


def test_evidence_is_the_g_test_of_the_two_shares() -> None:
    reference = chi2_contingency([[3, 2], [1, 9]], correction=False, lambda_="log-likelihood")

    assert evidence(3, 5, 1, 10) == pytest.approx(reference.statistic)
    assert evidence(5, 5, 0, 5) == pytest.approx(2 * 10 * log(2))
    assert evidence(1, 10, 3, 5) == 0.0  # rarer than in the background


def test_relation_phrases_are_kept_whole() -> None:
    assert words_of("Is it to the left of, or on top of it?") == [
        "is", "it", "to the left of", "or", "on top of", "it",
    ]  # fmt: skip
    assert words_of("left, right or far?") == ["left", "right", "or", "far"]


@pytest.mark.parametrize("relation", RELATIONS)
def test_a_relation_feature_is_named_by_its_relation(relation: str) -> None:
    random, background = Random(1), world()
    top = [spatial(random, relation, fires_on=relation.split()[0]) for _ in range(5)]

    description = OfflineExplainer(background).describe(top)

    word = relation.split()[0]
    assert description.text == f'questions with "{relation}", firing most on "{word}"'
    assert description.text == description.text.lower()


def test_two_relations_are_joined_by_or() -> None:
    random = Random(2)
    top = [spatial(random, relation) for relation in ["above", "below"] for _ in range(5)]

    rule = learn_rule(top, world())

    assert set(rule.terms) == {("with", "above"), ("with", "below")}


def test_an_answer_is_named_where_it_tells_more() -> None:
    random = Random(3)
    yes = [spatial(random, "above")._replace(answer="Yes") for _ in range(10)]
    background = world() + [spatial(random, "above") for _ in range(100)]

    description = OfflineExplainer(background).describe(yes).text

    assert description == 'questions with "above", answered "yes"'
    assert matches(read_rule(description), yes[0])
    assert not matches(read_rule(description), yes[0]._replace(answer="no"))


def test_a_feature_of_answers_alone() -> None:
    random = Random(4)
    top = [other(random)._replace(answer="cyan") for _ in range(12)]

    assert OfflineExplainer(world()).describe(top).text == 'questions answered "cyan"'


def test_an_opening_is_named_where_no_word_is_better() -> None:
    top = [Sample(f"Is there a {c} {s}?", "no") for c in COLOURS for s in SHAPES[:2]]
    background = [Sample(f"Is a {c} {s} there?", "no") for c in COLOURS for s in SHAPES] * 3

    assert OfflineExplainer(background).describe(top).text == 'questions starting "is there"'


def test_five_samples_drawn_blindly_mostly_have_nothing_in_common() -> None:
    random, background = Random(8), world()
    explainer = OfflineExplainer(background)

    said = [explainer.describe(random.sample(background, 5)).text for _ in range(30)]

    assert said.count(NOTHING) >= 24
    assert explainer.classify(NOTHING, background[:3]).answers == [False] * 3


@pytest.mark.parametrize(
    "rule",
    [
        Rule((("with", "above"),), ()),
        Rule((("with", "above"), ("with", "on top of"), ("starting", "how many")), ("yes", "no")),
        Rule((("starting", "is there"),), ("yes",)),
        Rule((), ("row one column a",)),
    ],
)
def test_the_sentence_says_the_whole_rule(rule: Rule) -> None:
    assert read_rule(sentence(rule, ["of", "?"])) == rule
    assert read_rule(sentence(rule, [])) == rule


def test_what_a_feature_writes_is_said_by_its_first_words_and_looked_for_in_the_text() -> None:
    explainer = OfflineExplainer(world(), variant="OUTPUT")
    written = Written((" Left", "left", "##", " west", "", "le ft", " port", " sinister"), (" no",))

    said = explainer.describe_output(written).text

    assert said == 'writing "left" or "west" or "port", less of "no"'
    assert read_rule(said) == Rule((), (), ("left", "west", "port"))
    asked = ("Is it left of it?", "Is it leftover?", "Which way?", "Is it near?")
    samples = [Sample(q, a) for q, a in zip(asked, ("no", "no", "West", "no"), strict=True)]
    assert explainer.classify(said, samples).answers == [True, False, True, False]
    assert explainer.describe_output(Written(("##", "-"), ())).text == NOTHING


def test_a_sentence_in_other_words_cannot_be_judged() -> None:
    explainer = OfflineExplainer(world())

    assert explainer.classify("objects above others", world()[:2]).answers == [None, None]


def test_tokens_are_named_where_the_firing_falls() -> None:
    background = [Sample("is it above ?", "yes", ("is", "it", "above", "?"), (0, 0, 0, 0))] * 10
    top = [background[0]._replace(activations=(0, 0.2, 2.0, 1.0))] * 9
    top += [background[0]._replace(activations=(0, 1.0, 0, 0))]

    # Fired: above 9, ? 9, it 9 + 1 = 10 of 28; each is a quarter of what is written.
    assert over_represented_tokens(top, background) == ["it", "?"]
    untokenised = [sample._replace(tokens=(), activations=()) for sample in background]
    assert over_represented_tokens(top, untokenised) == ["it", "?"]


def test_the_own_description_scores_and_anothers_does_not() -> None:
    random, background = Random(5), world()
    explainer = OfflineExplainer(background)
    active = [spatial(random, "left of", fires_on="left") for _ in range(15)]
    silent = [s for s in world(seed=6) if s.relation != "left of"]
    chosen = choose_described(active, n_describe=5)
    scored = choose_scored(chosen, silent)
    own = explainer.describe(chosen.describe).text
    others = explainer.describe([spatial(random, "below") for _ in range(5)]).text

    score = score_description(
        explainer, own, scored.positives, scored.negatives, shuffled=others
    ).score

    assert (score.f1, score.shuffled_f1, score.n_failed) == (1.0, 0.0, 0)


def test_a_lexical_description_fails_on_silent_samples_with_the_same_word() -> None:
    """Half of the silent samples ask the same relation: the word does not make the feature."""
    random = Random(7)
    explainer = OfflineExplainer(world())
    positives = [spatial(random, "above") for _ in range(10)]
    negatives = [spatial(random, "above") for _ in range(5)] + [other(random) for _ in range(5)]

    score = score_description(explainer, 'questions with "above"', positives, negatives).score

    assert (score.true_positive, score.false_positive) == (10, 5)
    assert score.f1 == pytest.approx(0.8)
    assert score.balanced_accuracy == pytest.approx(0.75)


def test_an_empty_background_is_refused() -> None:
    with pytest.raises(ValueError, match="no background samples"):
        OfflineExplainer([])
