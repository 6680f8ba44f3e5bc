"""Every page on a full and on an empty atlas, by Streamlit's own test runner."""

import pandas as pd
import pytest

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.figures import FIGURES

PAGES = [
    "overview.py",
    "features/explore.py",
    "features/feature.py",
    "lists/lists.py",
    "ablation/ablation.py",
    "features/shift.py",
    "heads/heads.py",
    "features/thresholds.py",
    "runs/compare.py",
    "runs/runs.py",
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


EVERY_PART = {
    "ablation/ablation.py": [
        {"removal": part} for part in ("several together", "added instead", "other ways to remove")
    ],
    "features/feature.py": [
        dict.fromkeys(("what", "fires", "writes", "changed", "drives", "breaks", "runs"), "true")
    ],
    "runs/compare.py": [{"show": show} for show in ("a series", "two features")],
    "features/explore.py": [{"sort": "f1"}, {"where": "is_described:yes"}],
}
"""Addresses of what pages fold."""


@pytest.mark.parametrize("page", PAGES)
def test_a_run_with_the_least_that_a_run_has_is_no_error(sparse_atlas, open_page, page) -> None:
    for address in ({}, *EVERY_PART.get(page, [])):
        app = open_page(page, **address)

        assert not app.exception, address
        assert app.title


@pytest.mark.parametrize("page", PAGES)
def test_an_unknown_run_is_refused_with_those_that_there_are(full_atlas, open_page, page) -> None:
    app = open_page(page, run=999, a=999, b="x")

    assert not app.exception
    if page != "runs/compare.py":  # its runs are `a` and `b`
        assert "run `999`, which this atlas does not have" in app.error[0].value
        assert any(said.value.startswith("1: synthetic-") for said in app.text)


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
    assert survivors.link.iloc[0].startswith("feature?run=1&layer=")


def test_overview_names_the_command_that_draws_the_papers_figures(full_atlas, open_page) -> None:
    app = open_page(figures="true")

    (listed,) = [box for box in app.expander if box.label == "Figures of the paper"]
    assert listed.code[0].value.startswith("feature-atlas figures synthetic-")
    assert all(figure.shows in listed.markdown[1].value for figure in FIGURES)


@pytest.mark.parametrize("page", PAGES)
def test_a_run_without_candidates_is_no_error(full_atlas, open_page, monkeypatch, page) -> None:
    for name in ("marked_features", "ablation_summaries", "fvu_curves"):
        columns = getattr(queries, name)(1).columns
        empty = pd.DataFrame(columns=columns)
        monkeypatch.setattr(queries, name, lambda run_id, empty=empty: empty)

    app = open_page(page)

    assert not app.exception
    assert app.title


def test_ablation_shows_this_run_beside_the_paper(full_atlas, open_page) -> None:
    app = open_page("ablation/ablation.py")

    assert not app.exception
    this_run, table_2, table_1 = (table.value for table in app.dataframe)
    assert this_run.delta_vsr.iloc[0] == pytest.approx(-25)
    assert this_run.interval_vsr.iloc[0] == "[-28.00, -22.00]"
    assert (len(this_run), len(table_2), len(table_1)) == (8, 11, 6)
    assert len(app.get("plotly_chart")) == 2
    assert "2 (interval below 0)" in html(app)
