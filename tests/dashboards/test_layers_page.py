"""The page "Layers": its numbers against those that were loaded, its choices in the address."""

import pytest

from feature_atlas.dashboards import queries

PAGE = "dictionary/layers.py"


@pytest.fixture
def run_id(full_atlas: str) -> int:
    return int(queries.runs().run_id[0])


def test_means_are_over_all_features_of_a_layer(run_id, written) -> None:
    means = queries.mean_cosines(run_id)

    rows = written("decoder_cosine")
    expected = rows.cosine.astype(float).groupby([rows.regime, rows.layer]).mean()
    assert means.regime.unique().tolist() == [
        "text", "image", "full", "random", "refit", "language"
    ]  # fmt: skip
    found = dict(zip(zip(means.regime, means.layer, strict=True), means["mean"], strict=True))
    assert found == pytest.approx(expected.to_dict())


def test_the_spread_is_of_features_that_fired_in_the_regime(run_id, written) -> None:
    spread = queries.cosine_quantiles(run_id, "image").set_index("layer")

    rows = written("decoder_cosine", regime="image", layer=1)
    fired = rows.cosine[rows.n_firings > 0].astype(float)
    assert spread.n_features[1] == len(fired)
    found = spread.loc[1, ["lowest_5", "lowest_25", "median", "highest_25", "highest_5"]]
    assert found.tolist() == pytest.approx(fired.quantile([0.05, 0.25, 0.5, 0.75, 0.95]).tolist())
    assert queries.cosine_quantiles(run_id, "no'such").empty


def test_energies_are_means_of_a_layer(run_id, written) -> None:
    energies = queries.energies_by_layer(run_id)

    rows = written("visual_energy", layer=1)
    assert energies.loc[1, ["image", "question", "no_image"]].tolist() == pytest.approx(
        [
            rows.energy_image.mean(),
            rows.energy_question.mean(),
            rows.energy_question_no_image.mean(),
        ],
        rel=1e-5,
    )


@pytest.mark.parametrize(
    ("part", "n_charts"),
    [("adapted features", 2), ("all features", 2), ("reconstruction", 2), ("seeing", 1),
     ("over seeds", 1), ("by chance", 0)],
)  # fmt: skip
def test_every_part_has_its_charts(full_atlas, open_page, part, n_charts) -> None:
    app = open_page(PAGE, run=1, layers_part=part)

    assert not app.exception
    assert not app.info
    assert len(app.get("plotly_chart")) == n_charts


def test_reconstruction_ends_where_training_ended(full_atlas, open_page) -> None:
    app = open_page(PAGE, run=1, layers_part="reconstruction")

    ends = app.dataframe[-1].value.set_index("regime")
    assert ends.start["text"] == pytest.approx(0.9)
    assert ends.end["text"] == pytest.approx(0.225)  # halved every thousand tokens, twice


def test_a_score_stands_beside_what_random_directions_get(full_atlas, open_page) -> None:
    app = open_page(PAGE, run=1, layers_part="by chance")

    chance = app.dataframe[0].value.set_index("score")
    assert chance.loc["F1", ["here", "chance", "spread", "verdict"]].tolist() == [
        "0.8 [0.7, 0.9]", "0.5 [0.4, 0.6]", "[0.6, 1]", "beyond chance"
    ]  # fmt: skip
    assert chance.verdict.iloc[1] == "not comparable", "no random feature came so far"


def test_the_address_chooses_regimes_layer_and_tokens(full_atlas, open_page) -> None:
    tables = dict.fromkeys(("cosine_by_regime_numbers", "cosine_spread_numbers"), "true")
    app = open_page(
        PAGE, run=1, layers_part="all features", regime="image", spread="full", **tables
    )

    assert not app.exception
    means, spread = (table.value for table in app.dataframe)
    assert set(means.regime) == {"image"}
    assert spread["median"].tolist() == pytest.approx(
        queries.cosine_quantiles(1, "full")["median"].tolist()
    )

    app = open_page(
        PAGE, run=1, layers_part="reconstruction", regime="image", layer_of_curve="1",
        final_fvu_numbers="true",
    )  # fmt: skip

    assert not app.exception
    assert set(app.dataframe[0].value.regime) == {"image"}
    assert app.selectbox(key="layer_of_curve").value == "1"


def test_a_run_without_training_curves_says_which_stage_leaves_them(
    full_atlas, open_page, monkeypatch
) -> None:
    none = queries.fvu_curves(1).iloc[:0]
    monkeypatch.setattr(queries, "fvu_curves", lambda run_id: none)

    app = open_page(PAGE, layers_part="reconstruction")

    assert not app.exception
    assert "stage `adapt`" in app.info[0].value
