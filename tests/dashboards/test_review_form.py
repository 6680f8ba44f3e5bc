"""Reviews from the page: seen at once on it and in SQL, legal or refused, and by one module."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
import streamlit as st
from run_folder import write_run_folder
from sqlalchemy import Engine, text
from streamlit.testing.v1 import AppTest

import feature_atlas.dashboards
from feature_atlas.dashboards import queries
from feature_atlas.etl.labels.review import add_reviews
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.models.meaning.judgement import Judgement

PAGE = "features/feature.py"
HOSTILE = "<script>alert(1)</script> ![x](http://elsewhere.example/x.png) **bold**"


@pytest.fixture
def page(atlas: Engine, open_page: Callable[..., AppTest]) -> AppTest:
    return open_page(PAGE, run=1, layer=1, feature=2, what="true")


def fill(page: AppTest, **said: str) -> AppTest:
    """Fill in the form and send it off."""
    key = "review_1_1_2"
    page.radio(key=f"{key}_verdict").set_value(said.pop("verdict"))
    for name, value in said.items():
        page.text_input(key=f"{key}_{name}").set_value(value)
    (save,) = [button for button in page.button if button.label == "Save the review"]
    return save.click().run()


def label(engine: Engine) -> str | None:
    query = (
        "SELECT label FROM atlas.feature_all_runs WHERE run_id = 1 AND layer = 1 AND feature = 2"
    )
    with engine.connect() as connection:
        return connection.scalar(text(query))


def reviews(engine: Engine) -> list[tuple]:
    query = "SELECT verdict, description, note, judged, reviewer FROM atlas.review ORDER BY id"
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def html(app: AppTest) -> str:
    return " ".join(element.proto.body for element in app.get("html"))


def test_a_corrected_label_is_seen_at_once_on_the_page_and_in_sql(
    page: AppTest, atlas: Engine
) -> None:
    assert "asks for left of" in html(page)
    assert queries.marked_features(1).label.eq("port").sum() == 0  # and is kept for a minute

    fill(page, verdict="edit", description=" port ", note="a sailor said so", reviewer="Grace")

    assert not page.exception
    assert [said.value for said in page.success] == ["Saved."]
    assert label(atlas) == "port"
    assert "port" in html(page)
    assert "worded by Grace" in html(page)
    assert "a sailor said so" in html(page)
    assert reviews(atlas) == [("edit", "port", "a sailor said so", "asks for left of", "Grace")]
    assert queries.marked_features(1).label.eq("port").sum() == 1


def test_the_newest_verdict_counts_and_a_second_click_adds_nothing(
    page: AppTest, atlas: Engine
) -> None:
    fill(page, verdict="accept")
    fill(page, verdict="reject", note="too broad")
    assert "its label was rejected" in html(page)
    fill(page, verdict="reject", note="too broad")

    assert [said.value for said in page.success] == ["You said so already."]
    assert label(atlas) is None
    assert [row[0] for row in reviews(atlas)] == ["accept", "reject"]
    assert {row[-1] for row in reviews(atlas)} == {"Ada"}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"verdict": "edit"}, "a description of the reviewer's own goes with verdict edit"),
        ({"verdict": "accept", "description": "x"}, "goes with verdict edit, and only with it"),
        ({"verdict": "accept", "reviewer": " "}, "the reviewer has no name"),
        ({"verdict": "reject", "note": "a\0b"}, "a zero byte"),
    ],
)
def test_what_the_command_refuses_the_page_refuses(
    page: AppTest, atlas: Engine, said: dict[str, str], message: str
) -> None:
    fill(page, **said)

    assert not page.exception
    assert any(message in shown.value for shown in page.text)
    assert reviews(atlas) == []


def test_what_is_typed_is_text(page: AppTest, atlas: Engine) -> None:
    fill(page, verdict="edit", description=HOSTILE, note=HOSTILE, reviewer=HOSTILE)

    assert label(atlas) == HOSTILE
    assert "&lt;script&gt;" in html(page)
    assert "<script" not in html(page)
    shown = [element.value for element in (*page.markdown, *page.caption, *page.success)]
    assert not [value for value in shown if "elsewhere" in value]


def test_reviews_stay_with_their_run_when_a_new_one_comes(
    page: AppTest, atlas: Engine, tmp_path: Path, open_page: Callable[..., AppTest]
) -> None:
    fill(page, verdict="edit", description="port")
    ingest(write_run_folder(tmp_path, seed=1), atlas)
    st.cache_data.clear()

    assert label(atlas) == "port"
    again = open_page(PAGE, run=1, layer=1, feature=2)
    assert "worded by Ada" in html(again)


def test_by_command_or_page_it_is_one_review(page: AppTest, atlas: Engine) -> None:
    fill(page, verdict="accept")

    same = Judgement(1, 2, "accept", None, None, "Ada", "asks for left of")
    assert add_reviews(atlas, None, [same])[1:] == (0, 1)


def test_where_the_role_cannot_be_taken_the_page_says_what_to_do(
    full_atlas, open_page, monkeypatch
) -> None:
    monkeypatch.setattr("feature_atlas.models.session.WRITER", "nobody_of_that_name")

    app = open_page(PAGE, layer=1, feature=2, what="true")

    assert not app.exception
    advice = " ".join(shown.value for shown in app.text)
    assert "cannot be written from this page" in advice
    assert "`feature-atlas migrate` makes that role" in advice
    assert "feature-atlas review 1/2" in app.code[0].value


def test_of_the_pages_writes_alone_write() -> None:
    folder = Path(feature_atlas.dashboards.__file__).parent
    writers = {
        str(file.relative_to(folder))
        for file in folder.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Name | ast.Attribute | ast.alias)
        and getattr(node, "id", getattr(node, "attr", getattr(node, "name", "")))
        in ("make_writer_engine", "make_engine", "add_judgements", "keeping")
    }

    assert writers == {"writes/lists.py", "writes/review.py", "writes/writer.py"}
