"""The page "Compare": two runs, a series and two features, against pandas; the address."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from run_folder import read_rows

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.queries.two_runs import SURPRISING
from feature_atlas.dashboards.runs.pair_charts import chosen_ranges

PAGE = "runs/compare.py"
KEY = ["layer", "feature"]


@pytest.fixture
def of_run(series_atlas: str, series_folders) -> Callable[[int], pd.DataFrame]:
    """What the folder of a run, numbered from 1, says of its features, by layer and feature."""

    def of_run(number: int) -> pd.DataFrame:
        folder = series_folders[number - 1]
        read = {
            table: read_rows(folder, table).to_pandas()
            for table in ("selection", "decoder_cosine", "visual_energy", "firing_shift")
        }
        shifts = read["firing_shift"]
        parts = [
            read["selection"],
            read["decoder_cosine"].query("regime == 'text'")[[*KEY, "cosine"]],
            read["visual_energy"][[*KEY, "energy_question", "firing_rate"]],
            *(
                shifts[shifts.skill == skill][[*KEY, "odds_ratio"]].rename(
                    columns={"odds_ratio": f"{skill}_odds_ratio"}
                )
                for skill in ("spatial", "ocr")
            ),
        ]
        table = parts[0].set_index(KEY)
        return table.join([part.set_index(KEY) for part in parts[1:]])

    return of_run


def camp(features: pd.DataFrame) -> np.ndarray:
    conditions = [features.is_turned_by_vision, features.is_adapted]
    return np.select(conditions, ["turned by vision", "adapted"], "not adapted")


def test_transitions_count_every_feature_once(of_run) -> None:
    moves = queries.transitions(1, 2, "turned").set_index(["camp_before", "camp_after"]).n_features

    expected = pd.crosstab(camp(of_run(1)), camp(of_run(2))).stack()
    assert moves.to_dict() == expected[expected > 0].to_dict()
    assert moves.sum() == 128
    spatial = queries.transitions(1, 2, "spatial")
    stayed = spatial[spatial.camp_before == spatial.camp_after].set_index("camp_after").n_features
    assert stayed.to_dict() == {"survivor": 8, "candidate": 4, "adapted": 12, "not adapted": 88}


def test_movers_are_those_of_their_cell(of_run) -> None:
    found = queries.movers(1, 2, "turned", "not adapted", "adapted").set_index(KEY)

    assert sorted(found.index) == [(layer, f) for layer in (0, 1) for f in (20, 21, 22, 23)]
    assert found.cosine_after.is_monotonic_increasing
    expected = of_run(2).loc[found.index]
    np.testing.assert_allclose(found.cosine_after, expected.cosine)


def test_a_surprise_is_in_standard_deviations_of_all_changes(of_run) -> None:
    old, new = of_run(1), of_run(2)
    changes = pd.DataFrame({"cosine": new.cosine - old.cosine})
    for name, column, floor in (
        ("visual_energy", "energy_question", 1e-3),
        ("firing_rate", "firing_rate", 1e-5),
        ("spatial_odds_ratio", "spatial_odds_ratio", 1e-2),
        ("ocr_odds_ratio", "ocr_odds_ratio", 1e-2),
    ):
        logs = [np.log(run[column].astype(float).clip(lower=floor)) for run in (old, new)]
        changes[name] = logs[1] - logs[0]
    z = ((changes - changes.mean()) / changes.std(ddof=0)).abs()

    found = queries.surprises(1, 2, tuple(changes)).set_index(KEY)

    expected = z.max(axis=1).loc[found.index]
    np.testing.assert_allclose(found.surprise, expected, rtol=1e-5)
    assert found.surprise.is_monotonic_decreasing
    assert found.metric.tolist() == z.loc[found.index].idxmax(axis=1).tolist()
    only = queries.surprises(1, 2, ("cosine",))
    np.testing.assert_allclose(only.surprise[0], z.cosine.max(), rtol=1e-5)
    assert queries.surprises(1, 1, SURPRISING).empty  # of a run with itself


@pytest.mark.parametrize("metric", ["cosine", "visual_energy"])
def test_bins_hold_the_points(series_atlas, metric) -> None:
    points = queries.metric_points(1, 2, metric)

    for n_bins in (1, 40):
        bins = queries.metric_bins(1, 2, metric, n_bins)
        assert bins.n_features.sum() == len(points) == 128
        counts = bins.groupby("is_adapted").n_features.sum().to_dict()
        assert counts == points.is_adapted.value_counts().to_dict() == {False: 88, True: 40}
    fullest = bins.loc[bins.n_features.idxmax()]
    click = {"points": [{"x": fullest.before, "y": fullest.after}]}
    inside = queries.pairs_between(1, 2, metric, *chosen_ranges(click, bins, metric))
    both = bins[(bins.before == fullest.before) & (bins.after == fullest.after)]
    assert len(inside) == both.n_features.sum()


def test_no_metric_but_those_of_the_schema_comes_into_the_sql(series_atlas) -> None:
    with pytest.raises(ValueError, match="no metric 'cosine; DROP'"):
        queries.metric_points(1, 2, "cosine; DROP")
    with pytest.raises(ValueError, match="no metric"):
        queries.trajectories([1], [0], [0], "1); DROP")


@pytest.mark.parametrize("series", [[1, 2, 3], [3, 1, 2], [2, 1]])
def test_a_feature_turned_in_the_first_run_from_which_it_stays_adapted(of_run, series) -> None:
    adapted = pd.DataFrame({place: of_run(run).is_adapted for place, run in enumerate(series, 1)})
    adapted = adapted[adapted.any(axis=1)]
    since = adapted.iloc[:, ::-1].cumprod(axis=1).sum(axis=1)  # runs at the end, without a gap
    place = (len(series) + 1 - since).where(since > 0)

    found = queries.turned_when(series)

    counts = place.to_frame("place").groupby(["place", "layer"], dropna=False).size()
    assert found.n_features.tolist() == counts.tolist()
    sets = queries.sets_by_run(series)
    assert sets.run_id.tolist() == series
    assert sets.n_adapted.tolist() == [of_run(run).is_adapted.sum() for run in series]
    listed = queries.turned_at(series, len(series)).set_index(KEY)
    assert set(listed.index) == set(place[place == len(series)].index)


def test_trajectories_follow_a_feature_through_the_series(of_run) -> None:
    paths = queries.trajectories([3, 1], [0, 1], [8, 21], "cosine")

    assert paths.place.tolist() == [1, 2, 1, 2]
    assert paths.is_adapted.tolist() == [False, True, True, False]
    expected = [of_run(3).cosine[0, 8], of_run(1).cosine[0, 8]]
    assert paths.value[:2].tolist() == pytest.approx(expected)


def test_every_choice_between_two_runs_is_in_the_address(series_atlas, open_page) -> None:
    app = open_page(PAGE, a=2, b=3, drift="cosine")

    assert not app.exception
    assert [box.value for box in app.selectbox] == ["2", "3", "cosine"]
    assert len(app.get("plotly_chart")) == 3  # two funnels, drift
    app = open_page(PAGE, a=2, b=3, part="camps", camps="turned", way="not adapted → adapted")
    assert not app.exception
    movers = next(table.value for table in app.dataframe if "cosine_after" in table.value)
    assert movers.before[0].startswith("feature?run=2&layer=")
    assert movers.after[0].startswith("feature?run=3&layer=")
    app = open_page(PAGE, a=2, b=3, part="one metric", metric="visual_energy")
    assert not app.exception
    assert len(app.get("plotly_chart")) == 3
    app = open_page(PAGE, a=2, b=3, part="surprises")
    app.selectbox(key="surprise_choice").set_value("cosine").run()
    assert not app.exception
    assert app.query_params["surprise"] == "cosine"
    assert (app.query_params["a"], app.query_params["b"]) == ("2", "3")


def test_runs_of_another_shape_say_why_they_cannot_be_compared(series_atlas, open_page) -> None:
    pair = open_page(PAGE, a=1, b=4)
    series = open_page(PAGE, show="a series", series="1,4")

    for app in (pair, series):
        assert not app.exception
        assert "layers 0, 1 of 64 features" in app.warning[0].value
        assert "layers 0, 1, 2 of 64 features" in app.warning[0].value


def test_a_series_keeps_the_order_of_its_address(series_atlas, open_page) -> None:
    tables = dict.fromkeys(("set_lines_numbers", "trajectories_numbers"), "true")
    app = open_page(
        PAGE, show="a series", series="3,1,2", features="0/8, 1/21, 7/7", turned="1", **tables
    )

    assert not app.exception
    assert app.multiselect(key="series_choice").value == [3, 1, 2]
    assert app.dataframe[0].value.run_id.tolist() == [3, 1, 2]
    paths = app.dataframe[-1].value
    assert paths[KEY].drop_duplicates().to_numpy().tolist() == [[0, 8], [1, 21]]

    refused = open_page(PAGE, show="a series", series="1,99")
    assert "`1,99`" in refused.error[0].value


def test_two_features_stand_side_by_side(series_atlas, open_page, of_run) -> None:
    app = open_page(
        PAGE, show="two features", a=1, a_layer=0, a_feature=1, b=4, b_layer=2, b_feature=5
    )

    assert not app.exception
    numbers = app.dataframe[0].value.set_index("number")
    assert numbers.a["cosine"] == pytest.approx(of_run(1).cosine[0, 1])
    assert numbers.b["cosine"] == pytest.approx(of_run(4).cosine[2, 5])
    assert [link.proto.url for link in app.get("link_button")] == [
        "feature?run=1&layer=0&feature=1",
        "feature?run=4&layer=2&feature=5",
    ]


def test_one_run_is_no_series(full_atlas, open_page) -> None:
    app = open_page(PAGE, show="a series")

    assert not app.exception
    assert "`feature-atlas build`" in app.info[0].value
    assert "the same run" in open_page(PAGE).info[0].value
