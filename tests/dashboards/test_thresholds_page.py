"""The page "Thresholds": what it counts, against pandas; the address."""

import pandas as pd
import pytest

from feature_atlas.dashboards import queries

PAGE = "features/thresholds.py"


@pytest.fixture
def run_id(full_atlas: str) -> int:
    return int(queries.runs().run_id[0])


@pytest.fixture
def features(full_atlas: str, written) -> pd.DataFrame:
    """layer, energy, is_adapted, and rank: the share of features with a lower cosine."""
    cosine = written("decoder_cosine", regime="text").cosine
    return pd.DataFrame(
        {
            "layer": written("selection").layer,
            "energy": written("visual_energy").energy_question,
            "is_adapted": written("selection").is_adapted,
            "rank": (cosine.rank(method="min") - 1) / len(cosine),
        }
    )


@pytest.mark.parametrize(("epsilon", "share"), [(0, 1), (1e-3, 0.25), (2.5, 0.1), (1e9, 0.5)])
def test_counts_are_of_features_that_see_and_turned(run_id, features, epsilon, share) -> None:
    cut = queries.cosine_cuts(run_id, [share]).cosine[0]

    layers = queries.selected_by_layer(run_id, epsilon, cut).set_index("layer")

    passes = (features.energy > epsilon) & (features["rank"] < share)
    for column, marked in (
        ("n_selected", passes),
        ("n_chosen", features.is_adapted),
        ("n_both", passes & features.is_adapted),
    ):
        assert layers[column].to_dict() == marked.groupby(features.layer).sum().to_dict()
    assert layers.n_features.to_dict() == {0: 64, 1: 64}


def test_the_page_begins_at_the_thresholds_of_the_run(full_atlas, open_page) -> None:
    app = open_page(PAGE)

    assert not app.exception
    assert app.select_slider(key="epsilon").value == "0.001"  # the paper's: the run names none
    assert app.select_slider(key="bottom").value == "25"
    assert len(app.get("plotly_chart")) == 2
    assert app.code[0].value == "SELECT * FROM atlas.adapted_set(0.001, 0.25, 1)"
    # 16 of 64 features a layer are adapted: the bottom quarter by cosine
    assert "32 (25.00% of all)" in app.get("html")[0].proto.body


def test_the_address_moves_the_sliders_and_they_move_the_counts(
    full_atlas, open_page, features
) -> None:
    app = open_page(PAGE, run=1, epsilon="0", bottom="50", selected_by_layer_numbers="true")

    expected = int(((features.energy > 0) & (features["rank"] < 0.5)).sum())
    assert app.dataframe[0].value.n_selected.sum() == expected

    app.select_slider(key="bottom").set_value("0").run()

    assert not app.exception
    assert app.dataframe[0].value.n_selected.sum() == 0
    assert "0 (0.00% of all)" in app.get("html")[0].proto.body


def test_thresholds_that_are_none_fall_back_on_the_run(full_atlas, open_page) -> None:
    app = open_page(PAGE, run=1, epsilon="<b>1", bottom="-4")

    assert not app.exception
    assert app.select_slider(key="bottom").value == "25"
