"""Every page on a full and on an empty atlas, by Streamlit's own test runner."""

import pandas as pd
import pytest

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.figures import FIGURES

PAGES = [
    "overview.py",
    "features/feature.py",
    "ablation/ablation.py",
    "features/shift.py",
    "heads/heads.py",
    "features/thresholds.py",
    "dictionary/layers.py",
    "vlm/try_it.py",
]


def html(app) -> str:
    return " ".join(element.proto.body for element in app.get("html"))


def headings(app) -> list[str]:
    return [element.value for element in (*app.title, *app.subheader)]


@pytest.mark.parametrize("page", PAGES)
def test_an_empty_atlas_says_what_to_run(empty_atlas, open_page, page) -> None:
    app = open_page(page)

    assert not app.exception
    assert "feature-atlas demo" in app.info[0].value


def test_a_database_without_tables_says_what_to_run(empty_url, monkeypatch, open_page) -> None:
    monkeypatch.setenv("ATLAS_DATABASE_URL", empty_url)

    app = open_page()

    assert not app.exception
    assert "feature-atlas migrate" in app.error[0].value


def test_no_database_at_all_says_what_to_run(monkeypatch, open_page) -> None:
    monkeypatch.delenv("ATLAS_DATABASE_URL", raising=False)

    app = open_page()

    assert not app.exception
    assert "feature-atlas" in app.error[0].value


def test_a_database_that_does_not_answer_says_what_to_run(monkeypatch, open_page) -> None:
    monkeypatch.setenv("ATLAS_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")

    app = open_page()

    assert not app.exception
    assert "feature-atlas doctor" in app.error[0].value


def test_overview_shows_the_run_the_funnel_the_scatter_and_the_survivors(
    full_atlas, open_page
) -> None:
    app = open_page()

    assert not app.exception
    assert "tiny-llava" in html(app)
    assert "128 = 2 layers × 64" in html(app)
    assert "8 survivors" in headings(app)
    assert len(app.get("plotly_chart")) == 3  # two funnels, scatter
    survivors = app.dataframe[-1].value
    assert survivors.feature.iloc[0] == 0
    assert survivors.delta_pp.iloc[0] == pytest.approx(-25)
    assert survivors.link.iloc[0].startswith("/feature?run=1&layer=")


def test_overview_names_the_command_that_draws_the_papers_figures(full_atlas, open_page) -> None:
    app = open_page()

    (listed,) = [box for box in app.expander if box.label == "Figures of the paper"]
    assert listed.code[0].value.startswith("feature-atlas figures synthetic-")
    assert all(figure.shows in listed.markdown[1].value for figure in FIGURES)


def test_feature_shows_turn_and_preference_beside_their_nulls(
    full_atlas, open_page, written
) -> None:
    app = open_page("features/feature.py", run=1, layer=1, feature=0)

    (turning,) = [table.value for table in app.dataframe if "null_cosine" in table.value]
    assert turning.excess_rotation[0] == pytest.approx(0.5)
    assert turning.rotation_q_value[0] == pytest.approx(1e-4)
    expected = written("visual_energy", layer=1, feature=0).modality_preference[0]
    said = f"{expected:+.2f} [{expected - 1:+.2f}, {expected + 1:+.2f}]"
    assert any(f"against no image: {said}" in caption.value for caption in app.caption)


def test_feature_shows_everything_of_the_feature_in_the_address(full_atlas, open_page) -> None:
    app = open_page("features/feature.py", run=1, layer=1, feature=0)

    assert not app.exception
    assert headings(app) == [
        "Layer 1, feature 0",
        "Description",
        "Top samples",
        "Turning",
        "Seeing",
        "Firing on a skill",
        "Neutral prompts",
        "Heads that drive it",
        "Where they look",
        "On prompts of your own",
        "What breaks without it",
    ]
    assert "asks for left of" in html(app)
    assert "-25.0 pp [-28.0, -22.0]" in html(app)
    assert not app.info  # nothing is missing
    assert app.query_params == {"run": "1", "layer": "1", "feature": "0"}


def test_feature_says_whether_strong_heads_look_at_what_is_asked(full_atlas, open_page) -> None:
    app = open_page("features/feature.py", run=1, layer=1, feature=0)

    said = [caption.value for caption in app.caption if "strongest heads' lift" in caption.value]
    assert said == [
        "In this run the strongest heads' lift less the weakest heads' is +2.50 "
        "[95 % +2.10 to +2.90], over 8 features and 2 pictures.",
        "In this run the strongest heads' lift less the matched heads' is +2.00 "
        "[95 % +1.60 to +2.40], over 8 features and 2 pictures.",
    ]


def test_feature_without_custom_prompts_does_not_speak_of_them(full_atlas, open_page) -> None:
    app = open_page("features/feature.py", run=1, layer=1, feature=1)

    assert "Where they look" in headings(app)
    assert "On prompts of your own" not in headings(app)


def test_feature_without_an_address_is_the_first_survivor(full_atlas, open_page) -> None:
    app = open_page("features/feature.py")

    assert app.title[0].value == "Layer 0, feature 0"


def test_feature_says_what_to_run_for_what_was_not_measured(full_atlas, open_page) -> None:
    app = open_page("features/feature.py", layer=0, feature=40)

    assert not app.exception
    advice = " ".join(info.value for info in app.info)
    for stage in ("auto_interp", "example", "head_attribution", "overlay", "ablation"):
        assert f"`{stage}`" in advice
    assert "only adapted candidates" in advice


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ({"layer": 7, "feature": 0}, "layer `7`; the run has layers 0 to 1"),
        ({"layer": 0, "feature": 64}, "feature `64`; a layer has features 0 to 63"),
        ({"layer": "²", "feature": "-1"}, "feature `-1`; a layer has features 0 to 63"),
        ({"run": 99, "layer": 0, "feature": 0}, "run `99`; this atlas has 1 (synthetic-"),
        ({"run": "x`*y*"}, "run `x*y*`; this atlas has"),
    ],
)
def test_a_bad_address_is_told_the_valid_ranges(full_atlas, open_page, address, message) -> None:
    app = open_page("features/feature.py", **address)

    assert not app.exception
    assert message in app.error[0].value


def test_choosing_another_feature_changes_the_address(full_atlas, open_page) -> None:
    app = open_page("features/feature.py", layer=0, feature=0)

    app.number_input(key="feature_widget").set_value(3).run()

    assert app.title[0].value == "Layer 0, feature 3"
    assert app.query_params["feature"] == "3"


@pytest.mark.parametrize("page", PAGES)
def test_a_run_without_candidates_is_no_error(full_atlas, open_page, monkeypatch, page) -> None:
    for name in ("marked_features", "ablation_summaries", "fvu_curves"):
        columns = getattr(queries, name)(1).columns
        empty = pd.DataFrame(columns=columns)
        monkeypatch.setattr(queries, name, lambda run_id, empty=empty: empty)

    app = open_page(page)

    assert not app.exception
    assert app.title


def test_questions_and_tokens_are_escaped(full_atlas, open_page) -> None:
    app = open_page("features/feature.py", layer=0, feature=0)

    assert "left&quot;of" in html(app)
    assert 'left"of' not in html(app)


def test_ablation_shows_this_run_beside_the_paper(full_atlas, open_page) -> None:
    app = open_page("ablation/ablation.py")

    assert not app.exception
    this_run, table_2, table_1 = (table.value for table in app.dataframe)
    assert this_run.delta_vsr.iloc[0] == pytest.approx(-25)
    assert this_run.interval_vsr.iloc[0] == "[-28.00, -22.00]"
    assert (len(this_run), len(table_2), len(table_1)) == (8, 11, 6)
    assert len(app.get("plotly_chart")) == 2
    assert "2 (interval below 0)" in html(app)
