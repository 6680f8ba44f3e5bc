"""The page "Explore": filters, order and pages against pandas; the address, and what it refuses."""

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import text

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.features.explore_address import address_of, view_of
from feature_atlas.dashboards.queries import explore
from feature_atlas.dashboards.queries.explore import Between, Place, View
from feature_atlas.models.session import make_engine

PAGE = "features/explore.py"


@pytest.fixture
def run_id(full_atlas: str) -> int:
    return int(queries.runs().run_id[0])


@pytest.fixture
def everything(full_atlas: str, run_id: int) -> pd.DataFrame:
    with make_engine(full_atlas).connect() as connection:
        rows = connection.execute(
            text("SELECT * FROM atlas.feature_record WHERE run_id = :run_id"), {"run_id": run_id}
        )
        return pd.DataFrame(rows.mappings().all())


def expected(everything: pd.DataFrame, view: View) -> list[tuple[int, int]]:
    rows = everything
    for metric, low, high in view.between:
        numbers = rows[metric].astype(float)
        rows = rows[
            numbers.between(-np.inf if low is None else low, np.inf if high is None else high)
        ]
    for name in view.sets:
        rows = rows[rows[name].eq(True)]
    rows = rows.assign(**{view.sort: rows[view.sort].astype(float)}).sort_values(
        [view.sort, "layer", "feature"],
        ascending=[not view.descending, True, True],
        na_position="last",
    )
    return list(zip(rows.layer, rows.feature, strict=True))


def turned_through(run_id: int, view: View) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    after = None
    while len(page := explore.explored(run_id, view, after)):
        found += zip(page.layer, page.feature, strict=True)
        last = page.iloc[-1]
        value = None if pd.isna(last.sort_value) else float(last.sort_value)
        after = Place(value, int(last.layer), int(last.feature))
    return found


def test_pages_show_each_feature_of_any_view_exactly_once_in_order(
    run_id, everything, monkeypatch
) -> None:
    monkeypatch.setattr(explore, "N_PAGE", 7)  # many pages, also across where values end
    rng = np.random.default_rng()
    for _ in range(12):
        metric, sort = rng.choice(explore.METRICS, 2)
        # halves between values: text of a real is shorter than the real
        ends = np.sort(rng.choice(everything[metric].dropna().astype(float).to_numpy(), 2)) + 1e-5
        view = View(
            between=(Between(str(metric), None if rng.random() < 0.5 else ends[0], ends[1]),),
            sets=("is_adapted",) if rng.random() < 0.3 else (),
            sort=str(sort),
            descending=bool(rng.random() < 0.5),
        )

        found = turned_through(run_id, view)

        assert found == expected(everything, view), view
        assert explore.n_explored(run_id, view).n[0] == len(found)
        assert explore.explored_layers(run_id, view).n_features.sum() == len(found)
        assert view_of(address_of(view)) == view


def test_the_sql_of_a_view_finds_the_same_features(run_id, full_atlas) -> None:
    view = View((Between("cosine", None, 0.5),), ("is_adapted",), "100%_'; --", "firing_rate", True)
    for shown in (view, view._replace(words="")):
        with make_engine(full_atlas).connect() as connection:
            sql = explore.view_as_sql(run_id, shown)
            rows = connection.exec_driver_sql(sql.replace("%", "%%")).all()
        assert [tuple(row[:2]) for row in rows] == turned_through(run_id, shown)
    assert rows


def test_an_address_opens_its_view_and_a_changed_filter_changes_the_address(
    full_atlas, open_page
) -> None:
    app = open_page(PAGE, run=1, where="cosine:..0.5", sort="visual_energy", order="down")

    assert not app.exception
    assert app.multiselect(key="by").value == ["cosine"]
    assert app.number_input(key="cosine_to").value == 0.5
    energies = app.dataframe[0].value.visual_energy
    assert energies.is_monotonic_decreasing
    app.number_input(key="cosine_to").set_value(0.25).run()
    assert app.query_params["where"] == "cosine:..0.25"
    assert (app.dataframe[0].value.cosine <= 0.25).all()


@pytest.mark.parametrize(
    ("name", "nonsense"),
    [
        ("where", "cosine; DROP TABLE atlas.run:0..1"),
        ("where", "cosine:0..nan"),
        ("where", "cosine"),
        ("is", "label"),
        ("sort", "1"),
        ("order", "sideways"),
        ("after", "0.1@1.99999999999"),
        ("words", "a\x00b"),
    ],
)
def test_nonsense_in_the_address_is_refused_in_a_sentence(
    full_atlas, open_page, name, nonsense
) -> None:
    app = open_page(PAGE, run=1, **{name: nonsense})

    assert not app.exception
    assert f"`{name}`" in app.error[0].value or nonsense.split(":")[0] in app.error[0].value
    assert not app.dataframe
