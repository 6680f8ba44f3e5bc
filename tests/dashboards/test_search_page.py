"""The page "Search", by Streamlit's own test runner."""

from collections.abc import Iterator

import pytest
from embedding_endpoint import EmbeddingEndpoint, running_endpoint

NAMES = ("ATLAS_EMBEDDING_MODEL", "ATLAS_EMBEDDING_URL", "OPENAI_API_KEY")


@pytest.fixture(autouse=True)
def _no_model_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingEndpoint]:
    with running_endpoint() as endpoint:
        monkeypatch.setenv("ATLAS_EMBEDDING_MODEL", "stub")
        monkeypatch.setenv("ATLAS_EMBEDDING_URL", endpoint.url)
        yield endpoint


def texts(app) -> str:
    return " ".join(element.value for element in app.text)


def test_the_words_of_the_address_are_searched(full_atlas, open_page) -> None:
    app = open_page("meaning/search.py", run=1, q="left of")

    assert not app.exception
    assert app.title[0].value == "Search"
    assert app.text_input(key="search_widget").value == "left of"
    found = app.dataframe[0].value
    assert len(found) == 12
    best = found.iloc[0]
    assert best.link == "feature?run=1&layer=0&feature=0"
    assert best.label == "asks for left of"
    assert best.score == pytest.approx(3 / 61)
    assert best.matched == "description, question, token"
    assert best.snippet == "asks for «left» «of»"
    assert "Full text only. Search by meaning is off: no embedding model" in texts(app)


def test_typing_changes_the_address_and_the_table(full_atlas, open_page) -> None:
    app = open_page("meaning/search.py")
    assert "Type words" in app.info[0].value
    assert not app.dataframe

    app.text_input(key="search_widget").set_value("  above ").run()

    assert app.query_params["q"] == "above"
    assert len(app.dataframe[0].value) == 10

    app.text_input(key="search_widget").set_value("").run()

    assert "q" not in app.query_params
    assert not app.dataframe


def test_nothing_found_is_no_error(full_atlas, open_page) -> None:
    app = open_page("meaning/search.py", q="zebra")

    assert not app.exception
    assert "No feature of this run matches" in app.info[0].value


@pytest.mark.parametrize(
    "words", ["<script>alert(1)</script>", "**left** [x](http://a.b)", "a\0b", "'; --", "(" * 3000]
)
def test_hostile_words_are_data(full_atlas, open_page, words: str) -> None:
    app = open_page("meaning/search.py", q=words)

    assert not app.exception
    shown = [element.value for kind in ("markdown", "info", "text") for element in app.get(kind)]
    assert not any("script" in value or "http://a.b" in value for value in shown)


def test_an_empty_atlas_says_what_to_run(empty_atlas, open_page) -> None:
    app = open_page("meaning/search.py", q="left")

    assert not app.exception
    assert "feature-atlas demo" in app.info[0].value


def test_a_model_without_vectors_says_what_to_run(full_atlas, open_page, endpoint) -> None:
    app = open_page("meaning/search.py", q="left of")

    assert not app.exception
    assert len(app.dataframe[0].value) == 12
    assert "Search by meaning is incomplete: this database has no pgvector" in texts(app)
    assert endpoint.requests[0]["input"] == ["left of"]


def test_an_endpoint_that_fails_costs_only_the_meaning(full_atlas, open_page, endpoint) -> None:
    endpoint.replies = [(401, '{"error": {"message": "bad key"}}')]

    app = open_page("meaning/search.py", q="left of")

    assert not app.exception
    assert len(app.dataframe[0].value) == 12
    assert "bad key" in texts(app)


def test_a_local_model_serves_the_command_alone(full_atlas, open_page, monkeypatch, tmp_path):
    monkeypatch.setenv("ATLAS_EMBEDDING_MODEL", str(tmp_path))

    app = open_page("meaning/search.py", q="left of")

    assert not app.exception
    assert "pages ask an endpoint" in texts(app)


def test_half_a_choice_is_said_on_the_page(full_atlas, open_page, monkeypatch) -> None:
    monkeypatch.setenv("ATLAS_EMBEDDING_URL", "http://127.0.0.1:9/v1")

    app = open_page("meaning/search.py", q="left of")

    assert not app.exception
    assert "ATLAS_EMBEDDING_MODEL is not set" in texts(app)
