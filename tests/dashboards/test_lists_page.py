"""Lists from the pages: made, filled from tables, changed, shared, deleted; words are text."""

from collections.abc import Callable
from html import escape

import pytest
import streamlit as st
from run_folder import write_run_folder
from sqlalchemy import Engine, text
from streamlit.testing.v1 import AppTest

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.frame_csv import frame_csv
from feature_atlas.dashboards.unmarked import unmarked
from feature_atlas.dashboards.writes.lists import Entry, add_to_list
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.models.notation.csv_text import parse_csv

LISTS, EXPLORE, FEATURE = "lists/lists.py", "features/explore.py", "features/feature.py"
HOSTILE = "<script>alert(1)</script> ![x](http://elsewhere.example/x.png) **bold** :red[x] $x$"


@pytest.fixture
def select_rows(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Rows of the tables with keys that begin so are selected, as if clicked."""

    def select_rows(key: str, *rows: int) -> None:
        show = st.dataframe

        def shown(*data, **options):
            if str(options.get("key", "")).startswith(key):
                options["selection_default"] = {"selection": {"rows": list(rows)}}
            return show(*data, **options)

        monkeypatch.setattr(st, "dataframe", shown)

    return select_rows


def opened(app: AppTest, *popovers: str) -> AppTest:
    for key in popovers:
        app.session_state[key] = True
    return app.run()


def press(app: AppTest, label: str) -> AppTest:
    (button,) = [button for button in app.button if button.label == label]
    return button.click().run()


def type_title(app: AppTest, key: str, title: str) -> None:
    """Into a box that takes new words, which the test runner's own boxes do not."""
    box = app.selectbox(key=key)
    box.options.append(title)
    box.set_value(title)


def entries(engine: Engine) -> list[tuple]:
    query = """
        SELECT list.slug, layer, feature, entry.note, added_by
        FROM lists.entry JOIN lists.list ON list.id = list_id ORDER BY list.id, layer, feature
    """
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def texts(app: AppTest) -> str:
    return " ".join(element.value for element in app.text)


def test_selected_rows_of_explore_go_into_a_new_list(atlas, open_page, select_rows) -> None:
    select_rows("explored", 0, 2)
    app = open_page(EXPLORE, where="survives_spatial:yes")
    shown = app.dataframe[0].value

    opened(app, "explored_adding")
    type_title(app, "explored_title", "Left of")
    app.text_input(key="explored_note").set_value("survive")
    press(app, "Add")

    assert not app.exception
    assert "2 added to Left of." in texts(app)
    places = shown[["layer", "feature"]].iloc[[0, 2]]
    assert entries(atlas) == sorted(
        ("left-of", int(one.layer), int(one.feature), "survive", "Ada")
        for one in places.itertuples()
    )


def test_all_that_passes_goes_into_an_old_list_but_once(atlas, open_page) -> None:
    add_to_list(1, "Left of", [Entry(0, 0)], "Grace")
    app = open_page(EXPLORE, where="survives_spatial:yes")

    opened(app, "all_adding")
    assert app.selectbox(key="all_title").options == ["Left of"]
    app.selectbox(key="all_title").set_value("Left of")
    press(app, "Add")

    assert "7 added to Left of; 1 in it already." in texts(app)
    assert len(entries(atlas)) == 8
    assert {row[4] for row in entries(atlas)} == {"Ada", "Grace"}


def test_a_feature_is_added_from_its_page_and_links_to_its_lists(atlas, open_page) -> None:
    app = open_page(FEATURE, run=1, layer=1, feature=2)
    opened(app, "one_1_1_2_adding")
    type_title(app, "one_1_1_2_title", HOSTILE)
    press(app, "Add")

    assert not app.exception
    assert entries(atlas)[0][1:] == (1, 2, None, "Ada")
    labels = [link.label for link in app.get("page_link")]
    assert unmarked(HOSTILE) in labels


def test_a_list_shows_the_numbers_of_any_run_and_is_shared_by_its_address(
    atlas, open_page, tmp_path
) -> None:
    add_to_list(1, "Left of", [Entry(1, 2, "why")], "Ada")
    ingest(write_run_folder(tmp_path, seed=1), atlas)
    st.cache_data.clear()

    for run in (1, 2):
        app = open_page(LISTS, list="left-of", run=run, listed_sql="true")
        assert not app.exception
        row = app.dataframe[0].value.iloc[0]
        feature = queries.feature(run, 1, 2).iloc[0]
        assert (row.layer, row.feature, row.note) == (1, 2, "why")
        assert row.cosine == pytest.approx(feature.cosine)
        assert row.label == feature.label
        assert f"run={run}&layer=1&feature=2" in row.link
    assert app.query_params["list"] == "left-of"
    rows = queries.database.select(app.code[0].value)
    assert rows[["layer", "feature", "note"]].to_numpy().tolist() == [[1, 2, "why"]]


def test_a_note_is_said_anew_and_entries_are_taken_out(atlas, open_page, select_rows) -> None:
    add_to_list(1, "Ours", [Entry(1, 2, "first"), Entry(1, 3)], "Ada")
    select_rows("listed", 0)
    app = open_page(LISTS, list="ours")

    app.text_input(key="note_ours_f1_1_2").set_value(HOSTILE)
    press(app, "Save the note")
    assert entries(atlas)[0][3] == HOSTILE

    press(app, "Take it out of the list")
    assert not app.exception
    assert "1 taken out." in texts(app)
    assert [row[1:3] for row in entries(atlas)] == [(1, 3)]


def test_a_list_is_made_renamed_and_deleted(atlas, open_page) -> None:
    app = open_page(LISTS)
    assert "No list yet" in app.info[0].value
    app.text_input(key="new_list_title").set_value(HOSTILE)
    press(app, "Make it")
    slug = queries.lists(1).slug[0]
    assert app.dataframe[0].value.link[0].startswith(f"lists?list={slug}&run=1")

    app = open_page(LISTS, list=slug)
    assert app.get("html")[0].proto.body == f"<h1>{escape(HOSTILE)}</h1>"
    opened(app, "change")
    app.text_input(key=f"{slug}_title").set_value("Ours")
    app.text_area(key=f"{slug}_note").set_value("of Fig. 9")
    press(app, "Save")
    assert app.get("html")[0].proto.body == "<h1>Ours</h1>"
    assert "of Fig. 9" in texts(app)
    assert app.query_params["list"] == slug

    opened(app, "delete")
    press(app, "Delete it for good")
    assert not app.exception
    assert "The list is deleted." in texts(app)
    assert queries.lists(1).empty
    assert "list" not in app.query_params
    assert "there is none" in open_page(LISTS, list=slug).error[0].value


def test_a_comment_is_seen_at_once_and_is_text(atlas, open_page) -> None:
    app = open_page(FEATURE, run=1, layer=1, feature=2, what="true")
    app.text_area(key="comment_1_1_2_said").set_value(HOSTILE)
    press(app, "Save the comment")

    assert not app.exception
    (said,) = [table.value for table in app.dataframe if "said" in table.value]
    assert said[["said", "author"]].to_numpy().tolist() == [[HOSTILE, "Ada"]]
    assert app.text_area(key="comment_1_1_2_said").value == ""


@pytest.mark.parametrize(
    ("title", "name", "message"),
    [
        ("", "Ada", "the title is empty"),
        ("!?", "Ada", "needs a letter or a digit"),
        ("Ours", " ", "your name is empty"),
        ("a\0b", "Ada", "a zero byte"),
    ],
)
def test_what_is_not_legal_is_said_in_a_sentence(atlas, open_page, title, name, message) -> None:
    app = open_page(LISTS)
    app.text_input(key="new_list_title").set_value(title)
    app.text_input(key="new_list_name").set_value(name)
    press(app, "Make it")

    assert not app.exception
    assert message in texts(app)
    assert queries.lists(1).empty


def test_where_the_role_cannot_be_taken_pages_say_what_to_do(
    full_atlas, open_page, monkeypatch
) -> None:
    monkeypatch.setattr("feature_atlas.models.session.WRITER", "nobody_of_that_name")

    app = open_page(LISTS)

    assert not app.exception
    assert "`feature-atlas migrate` makes that role" in texts(app)


def test_a_long_list_is_shown_page_by_page(atlas, open_page, monkeypatch) -> None:
    add_to_list(1, "Ours", [Entry(layer, f) for layer in (0, 1) for f in range(5)], "Ada")
    monkeypatch.setattr("feature_atlas.dashboards.lists.chosen_entries.MAX_ROWS", 4)

    app = open_page(LISTS, list="ours")
    seen = app.dataframe[0].value.feature.tolist()
    for _ in range(2):
        press(app, "Next page")
        seen += app.dataframe[0].value.feature.tolist()

    assert seen == [*range(5), *range(5)]
    assert "9 to 10 of 10" in texts(app)


def test_a_file_is_taken_in_and_saved(atlas, open_page) -> None:
    app = opened(open_page(LISTS), "csv")
    content = b"layer,feature,note\n1,2,'=1+1\n0,3,\n"
    app.file_uploader(key="csv_file").set_value([("a.csv", content, "text/csv")])
    app.text_input(key="csv_title").set_value("Ours")
    press(app, "Add")

    assert not app.exception
    assert "2 added, 0 were in it." in texts(app)
    assert [row[1:4] for row in entries(atlas)] == [(0, 3, None), (1, 2, "=1+1")]
    saved = frame_csv(queries.listed("ours", 1, 0, 10)).decode()
    assert "'=1+1" in saved
    assert [row["note"] for _, row in parse_csv(saved.encode(), "a.csv").rows] == ["", "=1+1"]

    app = opened(open_page(LISTS, list="ours"), "csv")
    app.file_uploader(key="csv_file").set_value([("b.csv", b"layer,feature\n1,x\n", "text/csv")])
    press(app, "Add")
    assert "b.csv, line 2: layer '1' and feature 'x'" in texts(app)
