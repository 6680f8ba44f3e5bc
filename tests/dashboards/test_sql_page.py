"""The SQL page: the address is the statement; refusals are sentences; memory is bounded."""

import io
import json
import tracemalloc
from collections.abc import Callable

import pandas as pd
import plotly.graph_objects as go
import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.sql.result import parquet, shown_table
from feature_atlas.dashboards.sql.result_chart import result_chart
from feature_atlas.models.user_sql import Answer

PAGE = "sql/sql.py"


def said(app: AppTest) -> str:
    """All that the page says in words."""
    parts = (*app.markdown, *app.text, *app.code, *app.error, *app.info)
    return "\n".join(str(part.value) for part in parts)


def rows(app: AppTest) -> pd.DataFrame:
    assert not app.exception, app.exception
    (table,) = app.dataframe
    return table.value


def run(app: AppTest) -> AppTest:
    (button,) = [button for button in app.button if button.label == "Run"]
    return button.click().run()


def test_an_address_is_run_when_it_is_opened(full_atlas: str, open_page: Callable[..., AppTest]):
    app = open_page(PAGE, sql="SELECT layer, feature FROM spatial ORDER BY 1, 2 LIMIT 3")

    assert rows(app).to_numpy().tolist() == [[0, 0], [0, 1], [0, 2]]
    assert "**3 rows** in" in said(app)
    assert app.text_area(key="statement").value.startswith("SELECT layer")


def test_a_saved_query_has_inputs_that_run_puts_into_the_address(
    full_atlas: str, open_page: Callable[..., AppTest]
):
    app = open_page(PAGE, saved="strongest-samples", feature=3)
    assert app.subheader[0].value == "What are a feature's strongest samples?"
    assert (app.text_input(key="value_layer").value, app.text_input(key="value_feature").value) == (
        "1", "3"
    )  # fmt: skip
    n_rows = len(rows(app))

    app.text_input(key="value_feature").set_value("63")
    run(app)

    assert n_rows > 0 == len(rows(app))
    assert app.query_params["saved"] == "strongest-samples"
    assert app.query_params["feature"] == "63"
    app.text_area(key="statement").set_value("SELECT :layer AS layer, :word AS word")
    run(app)
    assert "Say what :word stands for" in said(app)
    assert "saved" not in app.query_params
    app.text_input(key="value_word").set_value("it's")
    assert rows(run(app)).to_numpy().tolist() == [["1", "it's"]]


def test_a_question_of_a_topic_opens_with_its_defaults(
    full_atlas: str, open_page: Callable[..., AppTest]
):
    app = open_page(PAGE)
    assert not app.dataframe
    (button,) = [b for b in app.button if b.label.startswith("Which features fire much more")]

    button.click().run()

    assert app.query_params["saved"] == "spatial-odds"
    assert app.text_input(key="value_least").value == "2.0"
    assert "spatial_odds_ratio_low" in rows(app)


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ({"sql": "SELECT 1;\nSELECT 2"}, "multiple commands"),
        ({"sql": "SELECT layer,\n lable FROM feature"}, "line 2, column 2:\n lable FROM"),
        ({"sql": "DELETE FROM atlas.review"}, "syntax error"),
        ({"sql": "WITH x AS (DELETE FROM review RETURNING 1) SELECT * FROM x"}, "WITH"),
        ({"sql": "SET ROLE postgres"}, "syntax error"),
        ({"sql": "SELECT lo_create(0)"}, "permission denied for function lo_create"),
        ({"sql": "SELECT pg_read_file('/etc/passwd')"}, "permission denied"),
        ({"sql": "SELECT pg_sleep(60)", "max_seconds": 2}, "It was stopped after 2 s"),
        ({"sql": "SELECT set_config('statement_timeout', '0', false), pg_sleep(60)",
          "max_seconds": 2}, "It was stopped after 2 s"),
        ({"saved": "spatial-ods"}, "did you mean spatial-odds?"),
        ({"saved": "spatial-odds", "least": "low"}, "least is 'low'; expected a number"),
        ({"saved": "spatial-odds", "most": "1"}, "has no parameter 'most'; it has least=2.0"),
        ({"sql": "SELECT :rows", "max_rows": "7"}, "expected one of 100, 1000, 10000, 50000"),
        ({"sql": "SELECT :chart"}, ":chart has a meaning in this page's address"),
        ({"sql": "SELECT '\0'"}, "a zero byte"),
    ],
)  # fmt: skip
def test_what_is_refused_is_refused_in_words(
    address: dict, complaint: str, full_atlas: str, open_page: Callable[..., AppTest]
):
    app = open_page(PAGE, **address)

    assert not app.exception
    assert not app.dataframe
    assert complaint in said(app)


def test_explain_says_how_and_runs_nothing(full_atlas: str, open_page: Callable[..., AppTest]):
    app = open_page(PAGE, sql="SELECT * FROM run", explain="true")

    assert "Seq Scan on run" in said(app)
    begun = pd.Timestamp.now()
    assert "Result" in queries.explained("SELECT pg_sleep(:n)", {"n": 60}, 2)
    assert (pd.Timestamp.now() - begun).total_seconds() < 2
    for statement in ("SELECT 1; SELECT 2", "ANALYZE SELECT 1", "INSERT INTO run VALUES (1)"):
        with pytest.raises(Exception, match=r"syntax error|multiple commands"):
            queries.explained(statement, {}, 2)


def test_ten_million_rows_are_cut_without_being_held(full_atlas: str):
    tracemalloc.start()
    timed = queries.answered(
        "SELECT n, n::text AS words FROM generate_series(1, 10000000) AS n", {}, 1_000, 30
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (len(timed.answer.rows), timed.answer.is_cut) == (1_000, True)
    assert peak < 5_000_000


def test_types_and_columns_of_one_name_are_kept():
    answer = Answer(["a", "a", "b"], [(1, 2.5, b"\0\xff"), (None, 3.0, None)], False,
                    ["int8", "float8", "bytea"])  # fmt: skip
    table = shown_table(answer)

    assert table.to_pydict() == {"a": [1, None], "a (2)": [2.5, 3.0], "b": ["\\x00ff", None]}
    assert table.schema.types == [pa.int64(), pa.float64(), pa.string()]
    with pytest.raises(ValueError, match="more than one column called a"):
        parquet(answer)
    held = pd.read_parquet(io.BytesIO(parquet(answer._replace(names=["a", "c", "b"]))))
    assert held.c.tolist() == [2.5, 3.0]


def test_charts_have_names_and_words_of_the_data_are_no_markup():
    words = pd.DataFrame({"name": ["<b>x</b>", "y"], "n": [1, 2]})
    bars = result_chart(words, "name", "n", "bars")
    line = result_chart(words, "n", "n", "line")

    assert isinstance(bars.data[0], go.Bar)
    assert list(bars.data[0].x) == ["&lt;b&gt;x&lt;/b&gt;", "y"]
    assert bars.layout.xaxis.title.text == "name"
    assert (list(line.data[0].x), list(line.data[0].y)) == ([1, 2], [1.0, 2.0])


def test_a_chart_of_the_result_is_in_the_address(
    full_atlas: str, open_page: Callable[..., AppTest]
):
    app = open_page(
        PAGE, sql="SELECT layer, count(*) AS n FROM feature GROUP BY layer ORDER BY layer",
        chart="bars", across="layer", up="n",
    )  # fmt: skip

    (chart,) = app.get("plotly_chart")
    figure = json.loads(chart.proto.spec)
    assert figure["data"][0]["type"] == "bar"
    assert figure["layout"]["yaxis"]["title"]["text"] == "n"


def test_the_schema_is_browsed_with_units_and_examples(
    full_atlas: str, open_page: Callable[..., AppTest]
):
    everything = open_page(PAGE, beside="Schema").dataframe[0].value
    assert {("decoder_cosine", "cosine"), ("lists.entry", "note"), ("feature", "label")} <= set(
        zip(everything.relation, everything.column, strict=True)
    )

    app = open_page(PAGE, beside="Schema", relation="feature", sql="SELECT 1 AS one")

    columns, examples, answer = (table.value for table in app.dataframe)
    cosine = columns.set_index("column").loc["cosine"]
    assert (cosine.unit, cosine.range, cosine.type) == ("cosine", "-1 to 1", "real")
    assert len(examples) == 5
    assert examples.columns.tolist() == columns["column"].tolist()
    assert answer.one.tolist() == [1]
