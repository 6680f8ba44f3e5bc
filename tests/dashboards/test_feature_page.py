"""The page of one feature: what stands first, what folds, and that text of data stays text."""

from typing import Any

import pandas as pd
import pytest

from feature_atlas.dashboards import queries

PAGE = "features/feature.py"
SECTIONS = ("what", "fires", "writes", "changed", "drives", "breaks", "runs")
OPEN = dict.fromkeys(SECTIONS, "true")
HOSTILE = (
    "<script>alert(1)</script> ![x](http://elsewhere.example/x.png) "
    '[y](http://elsewhere.example) <img src="//elsewhere.example">'
)


def html(app) -> str:
    return " ".join(element.proto.body for element in app.get("html"))


def headings(app) -> list[str]:
    return [element.value for element in (*app.title, *app.subheader)]


def texts(app) -> str:
    return " ".join(text.value for text in app.text)


def test_the_first_screen_tells_the_story(full_atlas, open_page, written) -> None:
    app = open_page(PAGE, run=1, layer=1, feature=0)

    assert not app.exception
    assert headings(app) == ["Layer 1, feature 0"]
    shown = html(app)
    assert "asks for left of" in shown
    assert "F1 0.80 (another label&#x27;s 0.40, without pictures 0.80)" in shown
    assert "nobody has reviewed it" in shown
    assert "-25.0 pp [-28.0, -22.0]" in shown
    cosine = written("decoder_cosine", regime="text", layer=1, feature=0).cosine[0]
    assert f"Turned to a cosine of {cosine:.2f}, 0.50 further than refitting" in shown
    assert "Without it accuracy changes by -25.0 pp on statements of “left of” (q = 0.5)" in shown
    assert "a cause when swapped for real" in shown
    assert shown.count("marked-text") == 3  # the strongest examples
    assert app.query_params == {"run": "1", "layer": "1", "feature": "0"}


def test_sections_ask_only_while_they_are_open(full_atlas, open_page, monkeypatch) -> None:
    asked: list[str] = []
    folded = ("firing_shifts", "overlays", "groups_of", "same_feature", "example_words")
    for name in folded:
        query = getattr(queries, name)
        monkeypatch.setattr(queries, name, lambda *key, n=name, q=query: asked.append(n) or q(*key))

    app = open_page(PAGE, layer=1, feature=0)
    assert asked == []

    app = open_page(PAGE, layer=1, feature=0, changed="true")
    assert asked == ["firing_shifts"]
    assert app.query_params["changed"] == "true"
    assert [box.proto.expanded for box in app.expander][:4] == [False, False, False, True]


def test_open_sections_hold_everything_that_is_known(full_atlas, open_page) -> None:
    app = open_page(PAGE, layer=1, feature=0, **OPEN)

    assert not app.exception
    assert headings(app) == [
        "Layer 1, feature 0",
        "Descriptions",
        "Coherence",
        "Reviews",
        "Comments",
        "The base feature",
        "Tokens",
        "Nearest features",
        "Said when added",
        "Turning",
        "Seeing",
        "Firing on a skill",
        "Neutral prompts",
        "Heads that drive it",
        "Where they look",
        "On prompts of your own",
        "Removed, on both sets of questions",
        "Removed together with others",
        "More of it",
    ]
    (lonely,) = app.info  # there is one run alone
    assert "No other published run" in lonely.value
    assert "layer 1: removed 1. of its group" in texts(app)
    assert "Knocked out together (" in texts(app)


def test_a_section_says_what_to_run_for_what_was_not_measured(
    full_atlas, open_page, monkeypatch
) -> None:
    for name in ("activation_bins", "logit_effects", "near_features"):  # runs of before have none
        empty = getattr(queries, name)(9, 9, 9)
        monkeypatch.setattr(queries, name, lambda *key, empty=empty: empty)

    app = open_page(PAGE, layer=0, feature=40, **OPEN)

    assert not app.exception
    advice = " ".join(said.value for said in (*app.info, *app.caption))
    stages = ("auto_interp", "example", "head_attribution", "overlay", "ablation", "steering")
    stages += ("group_ablation", "activation_histogram", "logit_effect", "nearest_feature")
    stages += ("intruder", "output_score")
    for stage in stages:
        assert f"`{stage}`" in advice
    assert "only adapted candidates" in advice
    assert "not described yet" in html(app)
    for said in ("Its heads were not traced.", "It was not removed."):
        assert said in html(app)


def test_coherence_and_what_is_said_stand_beside_chance(full_atlas, open_page) -> None:
    app = open_page(PAGE, layer=1, feature=0, what="true", writes="true")

    (coherent,) = [table.value for table in app.dataframe if "judged_by" in table.value]
    shown = coherent[["judged_by", "found", "interval", "says"]].values.tolist()
    assert shown == [["equal words · word overlap 1", "9 of 10", "[0.60, 0.98]", "coherent"]]
    (heard,) = [table.value for table in app.dataframe if "looked_for" in table.value]
    assert heard.looked_for.tolist() == ["the tokens it makes likelier", "the words of its label"]
    assert heard.words[0] == "<b>left</b>, port"
    assert heard.output_score_control.tolist() == [0.125, 0.125]
    assert heard.times.tolist() == pytest.approx([7.389, 7.389], rel=1e-3)
    assert heard.says.tolist() == ["said more"] * 2

    app = open_page(PAGE, layer=1, feature=1, what="true", writes="true")
    says = {row for table in app.dataframe if "says" in table.value for row in table.value.says}
    assert {"no better than chance", "no more than others"} < says


def test_turn_and_preference_stand_beside_their_nulls(full_atlas, open_page, written) -> None:
    app = open_page(PAGE, layer=1, feature=0, changed="true")

    (turning,) = [table.value for table in app.dataframe if "null_cosine" in table.value]
    assert turning.excess_rotation[0] == pytest.approx(0.5)
    assert turning.rotation_q_value[0] == pytest.approx(1e-4)
    (scaling,) = [table.value for table in app.dataframe if "base_beta" in table.value]
    assert scaling[["tokens", "scale", "interval"]].values.tolist() == [["text", 1, "[0.90, 1.10]"]]
    expected = written("visual_energy", layer=1, feature=0).modality_preference[0]
    said = f"{expected:+.2f} [{expected - 1:+.2f}, {expected + 1:+.2f}]"
    captions = " ".join(caption.value for caption in app.caption)
    assert f"against no image: {said}" in captions
    assert "In 3 orders of the data: cosine 0.200, standard deviation 0.01 (0.190 to 0" in captions
    assert "adapted in 3, turned by vision in 3" in captions


def test_it_says_whether_strong_heads_look_at_what_is_asked(full_atlas, open_page) -> None:
    app = open_page(PAGE, layer=1, feature=0, drives="true")

    said = [caption.value for caption in app.caption if "strongest heads' lift" in caption.value]
    assert said == [
        "In this run the strongest heads' lift less the weakest heads' is +2.50 "
        "[95 % +2.10 to +2.90], over 8 features and 2 pictures.",
        "In this run the strongest heads' lift less the matched heads' is +2.00 "
        "[95 % +1.60 to +2.40], over 8 features and 2 pictures.",
    ]


def test_without_custom_prompts_it_does_not_speak_of_them(full_atlas, open_page) -> None:
    app = open_page(PAGE, layer=1, feature=1, drives="true")

    assert "Where they look" in headings(app)
    assert "On prompts of your own" not in headings(app)


@pytest.mark.parametrize(
    ("address", "activations"),
    [
        ({"examples": "strongest"}, [9, 9, 8, 8, 7, 7]),
        ({"examples": "by quantile"}, [6, 6]),
        ({"examples": "random"}, [6, 6, 9, 9]),  # in the order in which they were drawn
        ({"examples": "random", "source": "vsr"}, [6, 9]),
        ({"examples": "strongest", "shown": 2}, [9, 9]),
    ],
)
def test_examples_are_the_kind_of_the_address(full_atlas, open_page, address, activations) -> None:
    app = open_page(PAGE, layer=0, feature=0, fires="true", **address)

    bodies = [element.proto.body for element in app.get("html")]
    cards = [body for body in bodies if "<br>activation " in body][3:]
    assert [
        float(card.split("<br>activation ")[1].split()[0].strip(",")) for card in cards
    ] == activations


def test_a_card_shows_where_in_the_picture_it_fires(full_atlas, open_page) -> None:
    app = open_page(PAGE, layer=0, feature=0)

    # of the three strongest: stored, not stored, silent
    shown = html(app)
    assert shown.count("activation 9, 4 on the picture") == 1
    assert shown.count("activation 9 · vsr") == 1
    assert shown.count("activation 8, silent on the picture") == 1


def test_more_examples_are_a_click_and_an_address(full_atlas, open_page) -> None:
    app = open_page(PAGE, layer=0, feature=0, fires="true", shown=2)

    (more,) = [button for button in app.button if button.label == "More examples"]
    more.click().run()

    assert app.query_params["shown"] == "8"
    assert not [button for button in app.button if button.label == "More examples"]


def test_other_runs_are_links(full_atlas, open_page, monkeypatch) -> None:
    own = queries.same_feature(1, 1, 0)
    two = pd.concat([own.assign(run_id=7, slug="later"), own], ignore_index=True)
    monkeypatch.setattr(queries, "same_feature", lambda *key: two)

    app = open_page(PAGE, layer=1, feature=0, runs="true")

    rows = app.dataframe[0].value
    assert rows.link.tolist() == [f"feature?run={run}&layer=1&feature=0" for run in (7, 1)]
    assert rows.this.tolist() == [False, True]
    assert rows.sets[0] == "adapted, spatial survivor"


def test_without_an_address_it_is_the_first_survivor(full_atlas, open_page) -> None:
    app = open_page(PAGE)

    assert app.title[0].value == "Layer 0, feature 0"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ({"layer": 7, "feature": 0}, "layer `7`; the run has layers 0 to 1"),
        ({"layer": 0, "feature": 64}, "feature `64`; a layer has features 0 to 63"),
        ({"layer": "²", "feature": "-1"}, "feature `-1`; a layer has features 0 to 63"),
        ({"run": 99, "layer": 0, "feature": 0}, "run `99`, which this atlas does not have"),
        ({"run": "x`*y*"}, "run `x*y*`, which this atlas"),
    ],
)
def test_a_bad_address_is_told_the_valid_ranges(full_atlas, open_page, address, message) -> None:
    app = open_page(PAGE, **address)

    assert not app.exception
    assert message in app.error[0].value


def test_another_feature_keeps_the_open_sections(full_atlas, open_page) -> None:
    app = open_page(PAGE, layer=0, feature=0, breaks="true")

    app.number_input(key="feature_widget").set_value(3).run()

    assert app.title[0].value == "Layer 0, feature 3"
    assert app.query_params["feature"] == "3"
    assert app.query_params["breaks"] == "true"


def test_a_random_feature_is_one_that_fires(full_atlas, open_page, written) -> None:
    app = open_page(PAGE, layer=0, feature=0)

    (anywhere,) = [button for button in app.button if button.label == "Random"]
    anywhere.click().run()

    layer, feature = (int(app.query_params[name]) for name in ("layer", "feature"))
    assert app.title[0].value == f"Layer {layer}, feature {feature}"
    assert written("visual_energy", layer=layer, feature=feature).firing_rate[0] > 0


def test_text_of_data_is_never_markup(full_atlas, open_page, monkeypatch) -> None:
    """Labels, tokens, questions, answers and relations hold markup; the page shows its signs."""
    kind, relation = queries.groups_of(1, 0, 0).iloc[0][["kind", "name"]]
    removals = queries.group_removals(1, kind, relation)

    def hostile(frame: pd.DataFrame) -> pd.DataFrame:
        changed: dict[str, Any] = dict.fromkeys(set(HOSTILE_COLUMNS) & set(frame.columns), HOSTILE)
        if "tokens" in frame:
            changed["tokens"] = [[HOSTILE] * len(tokens) for tokens in frame.tokens]
        return frame.assign(**changed)

    for name in ASKED:
        query = getattr(queries, name)
        monkeypatch.setattr(queries, name, lambda *key, query=query: hostile(query(*key)))
    monkeypatch.setattr(queries, "group_removals", lambda *_: removals)  # of the hostile name

    app = open_page(PAGE, layer=0, feature=0, **OPEN)

    assert not app.exception
    assert "&lt;script&gt;" in html(app)
    assert "<script" not in html(app)
    assert "<img" not in html(app)
    as_markdown = [e.value for e in (*app.markdown, *app.caption, *app.info, *app.subheader)]
    labels = [element.label for element in (*app.button, *app.expander)]
    assert not [value for value in (*as_markdown, *labels) if "elsewhere" in value]


ASKED = (
    *("feature", "descriptions", "examples", "example_words", "example_answers", "base_labels"),
    *(
        "logit_effects",
        "near_features",
        "overlays",
        "custom_prompts",
        "removal_in_short",
        "interventions",
        "groups_of",
        "steerings",
    ),
)
HOSTILE_COLUMNS = (
    *(
        "label",
        "description",
        "question",
        "answer",
        "relation",
        "word",
        "token",
        "external_id",
        "name",
    ),
    *("base_label", "model", "explainer"),
)
