"""The page "Explore": filters, order, pages and bins against pandas; what addresses it refuses."""

import random

import pandas as pd
import pytest
import streamlit as st
from sqlalchemy import text

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.features.explore_address import parse_filter, write_filter
from feature_atlas.dashboards.queries.database import select, select_statement
from feature_atlas.dashboards.queries.explore import Filter, Place, View
from feature_atlas.dashboards.queries.explore_columns import columns_of

PAGE = "features/explore.py"


@pytest.fixture
def run_id(full_atlas: str) -> int:
    return int(queries.runs().run_id[0])


@pytest.fixture
def columns(run_id: int):
    return columns_of(tuple(queries.skills_of_run(run_id).skill))


@pytest.fixture
def features(run_id: int, columns) -> pd.DataFrame:
    """Every column of the page for every feature, put together by pandas."""
    rows = select("SELECT * FROM atlas.feature_all_runs WHERE run_id = :run", run=run_id)
    rows = rows.assign(is_described=rows.label.notna())
    shifts = select("SELECT * FROM atlas.skill_shift WHERE run_id = :run", run=run_id)
    for skill, shift in shifts.groupby("skill"):
        named = shift.drop(columns=["run_id", "skill", "is_adapted"]).set_index(
            ["layer", "feature"]
        )
        rows = rows.join(named.add_prefix(f"{skill}/"), on=["layer", "feature"])
    assert set(columns) <= set(rows)
    return rows


def drawn_view(run_id: int, columns, features: pd.DataFrame, dice: random.Random) -> View:
    numbers = [c for c in columns.values() if not c.is_flag]
    filters = []
    for column in dice.sample(list(columns.values()), dice.randint(0, 3)):
        if column.is_flag:
            filters.append(Filter(column, float(dice.random() < 0.3), None))
            continue
        values = features[column.name].dropna().astype(float)
        ends = sorted(dice.choice(values.tolist() or [0.0]) for _ in range(2))
        filters.append(Filter(column, ends[0], dice.choice([None, ends[1]])))
    return View(run_id, tuple(filters), "", dice.choice(numbers), dice.random() < 0.5)


def passing(features: pd.DataFrame, view: View) -> pd.DataFrame:
    """What passes, in order: the reference."""
    for column, low, high in view.filters:
        values = features[column.name]
        if column.is_flag:
            features = features[values.notna() & (values == bool(low))]
            continue
        values = values.astype(float)
        features = features[values.notna() & (values >= low if low is not None else True)
                            & (values <= high if high is not None else True)]  # fmt: skip
    features = features[features[view.sort.name].notna()]
    features = features.assign(value=features[view.sort.name].astype(float))
    up = not view.descending
    return features.sort_values(["value", "layer", "feature"], ascending=[up, True, True])


@pytest.mark.parametrize("seed", range(15))
def test_pages_give_each_feature_that_passes_once_and_in_order(
    run_id, columns, features, seed
) -> None:
    view = drawn_view(run_id, columns, features, random.Random(seed))
    expected = passing(features, view)

    found, after = [], None
    while len(page := queries.explored_rows(view, after, 7)):
        found += list(zip(page.layer, page.feature, strict=True))
        last = page.iloc[-1]
        after = Place(float(last.sorted_by), int(last.layer), int(last.feature))

    assert found == list(zip(expected.layer, expected.feature, strict=True))
    if after is not None:  # and back again, from the last one
        back, before = [], after._replace(is_last=False)
        while len(page := queries.explored_rows(view, before, 7)):
            back = [*zip(page.layer, page.feature, strict=True), *back]
            first = page.iloc[0]
            before = Place(float(first.sorted_by), int(first.layer), int(first.feature), False)
        assert back == found[:-1]
    layers = queries.explored_layers(view).set_index("layer").n_features
    assert layers.to_dict() == expected.groupby("layer").size().to_dict()
    again = [parse_filter(write_filter(one), columns) for one in view.filters]
    assert [one.column for one in again] == [one.column for one in view.filters]


@pytest.mark.parametrize(
    "ends", [(0.5, None), (None, 0.5), (0.2, 0.8), (1e30, None), (-1e30, 1e30)]
)
def test_ends_between_whole_numbers_and_beyond_all_are_taken_as_they_are(
    run_id, columns, features, ends
) -> None:
    view = View(run_id, (Filter(columns["layer"], *ends),), "", columns["n_firings"], True)

    found = queries.explored_rows(view, Place(1e30, 0, 0), 1000)

    assert len(found) == len(passing(features, view))


def test_bins_hold_every_feature_once(run_id, columns, features) -> None:
    view = View(run_id, (), "", columns["cosine"], False)
    x, y = columns["cosine"], columns["visual_energy"]

    bins = queries.explored_bins(view, x, y, (False, True), 10)

    seen = features[features.visual_energy > 0]
    assert bins.n_features.sum() == len(seen)
    width = (seen.cosine.max() - seen.cosine.min()) / 10
    for one in bins.itertuples():
        near = (seen.cosine - one.x).abs() <= width / 2 + 1e-6
        assert near.sum() >= one.n_features


def test_words_leave_what_the_search_finds(run_id, columns) -> None:
    view = View(run_id, (), "left", columns["cosine"], False)

    rows = queries.explored_rows(view, None, 1000)

    found = queries.features_found(run_id, "left", None, "", "", 1000)
    assert set(zip(rows.layer, rows.feature, strict=True)) == set(
        zip(found.layer, found.feature, strict=True)
    )
    assert len(rows) > 0


def test_the_sql_of_a_view_gives_its_rows(run_id, columns) -> None:
    filters = (
        Filter(columns["spatial/odds_ratio"], 0.1, None),
        Filter(columns["is_described"], 1.0, None),
    )
    view = View(run_id, filters, "left", columns["f1"], True)

    rows = select_statement(text(queries.explored_sql(view, 20)))

    pd.testing.assert_frame_equal(rows, queries.explored_rows(view, None, 20))


def test_an_address_opens_its_view(run_id, open_page) -> None:
    app = open_page(PAGE, where="cosine:..0.5", sort="-visual_energy", x="f1")

    assert not app.exception
    assert app.text_input(key="high_0").value == "0.5"
    assert app.selectbox(key="sort_by").value == "visual_energy"
    assert app.toggle(key="largest").value
    rows = app.dataframe[0].value
    assert rows.cosine.le(0.5).all()
    assert rows.visual_energy.is_monotonic_decreasing

    app.text_input(key="low_0").set_value("0.2").run()

    assert app.query_params["where"] == "cosine:0.2..0.5"
    assert app.dataframe[0].value.cosine.between(0.2, 0.5).all()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ({"where": "cosine; DROP TABLE run:1..2"}, "no column 'cosine; DROP TABLE run'"),
        ({"where": "cosine:1"}, "expected cosine:LOW..HIGH"),
        ({"where": "cosine:nan.."}, "'nan' is no number"),
        ({"where": "is_adapted:perhaps"}, "expected is_adapted:yes"),
        ({"sort": "label"}, "no column 'label'"),
        ({"sort": "is_adapted"}, "cannot sort"),
        ({"after": "1,2"}, "expected VALUE,LAYER,FEATURE"),
        ({"before": "1,x,2"}, "expected VALUE,LAYER,FEATURE"),
        ({"after": "0.5,99999999999,1"}, "expected VALUE,LAYER,FEATURE"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(run_id, open_page, address, message) -> None:
    app = open_page(PAGE, **address)

    assert not app.exception
    assert any(message in said.value for said in app.text)


def test_pages_are_turned_both_ways(run_id, open_page) -> None:
    app = open_page(PAGE)
    rows = [app.dataframe[0].value.feature.tolist()]
    for button in ("Next page", "Next page", "Previous page", "Previous page"):
        next(b for b in app.button if b.label == button).click().run()
        assert not app.exception
        rows.append(app.dataframe[0].value.feature.tolist())

    assert [len(page) for page in rows] == [50, 50, 28, 50, 50]
    assert (rows[3], rows[4]) == (rows[1], rows[0])


def test_a_preset_goes_into_the_address(run_id, open_page) -> None:
    app = open_page(PAGE)

    next(b for b in app.button if b.label == "Spatial survivors").click().run()

    assert not app.exception
    assert app.query_params["where"] == "survives_spatial:yes"
    assert app.dataframe[0].value.survives_spatial.all()
    st.cache_data.clear()
