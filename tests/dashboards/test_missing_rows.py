"""What was not measured of a feature is a dash or a sentence on its page, no error and no "nan"."""

import re

import psycopg
import pytest
import streamlit as st

from feature_atlas.dashboards.facts import number
from feature_atlas.models.base import Base, fact_tables

OPEN = ("what", "fires", "writes", "changed", "drives", "breaks", "runs")
ODD = re.compile(r"\bnan\b|\bNone\b(?!:)|<NA>|\bNaT\b")


@pytest.fixture
def owner(published_url, monkeypatch):
    """A loaded atlas of its own, whose guards are off."""
    monkeypatch.setenv("ATLAS_DATABASE_URL", published_url)
    st.cache_data.clear()
    with psycopg.connect(published_url, autocommit=True) as session:
        session.execute("SET session_replication_role = replica")
        yield session
    st.cache_data.clear()
    st.cache_resource.clear()


def without_rows(owner: psycopg.Connection) -> None:
    for table in reversed(fact_tables()):
        if "feature" in table.columns:
            owner.execute(f"DELETE FROM atlas.{table.name} WHERE layer = 0 AND feature = 0")
    empty_wide_row(owner)


def without_values(owner: psycopg.Connection) -> None:
    for table in fact_tables():
        for column in table.columns:
            if column.nullable and "feature" in table.columns:
                try:
                    owner.execute(f"UPDATE atlas.{table.name} SET {column.name} = NULL")
                except psycopg.errors.CheckViolation:  # one goes with another
                    continue
    empty_wide_row(owner)


def empty_wide_row(owner: psycopg.Connection) -> None:
    record = Base.metadata.tables["atlas.feature_record"]
    nothing = ", ".join(f"{column.name} = NULL" for column in record.columns if column.nullable)
    owner.execute(f"UPDATE atlas.feature_record SET {nothing}")


@pytest.mark.parametrize("take_away", [without_rows, without_values])
def test_a_feature_of_which_little_is_stored_has_its_page(owner, take_away, open_page) -> None:
    take_away(owner)

    app = open_page("features/feature.py", layer=0, feature=0, **dict.fromkeys(OPEN, "true"))

    assert not app.exception
    texts = [element.proto.body for element in app.get("html")]
    for kind in (app.markdown, app.caption, app.text):
        texts += [str(element.value) for element in kind]
    assert [text for text in texts if ODD.search(text)] == []
    assert any("Turned more" in text and "–" in text for text in texts)


def test_a_number_that_is_missing_is_a_dash() -> None:
    assert number(None, ".2f", " pp") == number(float("nan"), ",") == "–"
    assert number(0.5, ".1%", " of all") == "50.0% of all"
