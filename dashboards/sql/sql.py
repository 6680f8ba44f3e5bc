"""Ask in SQL. The address is the statement: whoever opens it sees the same answer."""

import psycopg
import streamlit as st
from sqlalchemy.exc import OperationalError, ProgrammingError

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.queries.statements import Timed
from feature_atlas.dashboards.sql.asking import Asking, asked
from feature_atlas.dashboards.sql.questions import show_questions
from feature_atlas.dashboards.sql.result import show_result
from feature_atlas.dashboards.sql.result_chart import show_chart
from feature_atlas.dashboards.sql.schema_browser import show_schema
from feature_atlas.dashboards.sql.statement_form import statement_form
from feature_atlas.dashboards.unmarked import unmarked

NOTHING = Asking("", None, {}, 1_000, 10)


def address_asks() -> tuple[Asking, str | None]:
    """What the address asks, and what is wrong with it."""
    try:
        return asked(), None
    except ValueError as error:
        return NOTHING, str(error)


def show_answer(asking: Asking) -> None:
    """The rows, or why there are none."""
    if st.toggle("Explain", key="explain", bind="query-params",
                 help="How the database answers it, with what it expects to read."):  # fmt: skip
        plan = queries.explained(asking.sql, asking.values(), asking.max_seconds)
        st.code(plan, language=None, height=300)
    table = show_result(answer_to(asking))
    show_chart(table)


def answer_to(asking: Asking) -> Timed:
    """Asked once, until *Run* or another address asks again."""
    kept = st.session_state.get("answered")
    if kept is None or kept[0] != asking:
        with st.spinner("Asking"):
            timed = queries.answered(
                asking.sql, asking.values(), asking.max_rows, asking.max_seconds
            )
        kept = st.session_state["answered"] = (asking, timed)
    return kept[1]


def refusal(error: Exception, asking: Asking) -> str:
    """Why, with the way out of a limit."""
    if isinstance(error, psycopg.errors.QueryCanceled):
        return (
            f"It was stopped after {asking.max_seconds} s. Explain says what takes so long; a "
            "condition on layer or a LIMIT often helps; Seconds at most raises the limit."
        )
    return str(error)


st.title("SQL", help="One SELECT over the atlas, as a role that can only read.")
try:
    asking, problem = address_asks()
except (RuntimeError, OperationalError, ProgrammingError):
    st.error(
        "No saved queries in the database. Run `feature-atlas migrate`, or `doctor` if that fails."
    )
    st.stop()
left, right = st.columns([5, 4], gap="large")
with left:
    if problem:
        st.error("The address asks for what there is not.")
        st.text(problem)
    if asking.saved is not None:
        st.subheader(unmarked(asking.saved.title))
        st.markdown(asking.saved.description)
    statement_form(asking)
with right:
    beside = st.segmented_control(
        "Beside", ("Questions", "Schema"), default="Questions", required=True,
        key="beside", bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    with st.container(height=580, border=False):
        if beside == "Schema":
            show_schema()
        else:
            show_questions(asking)
if not asking.sql.strip():
    st.stop()
if asking.missing:
    st.info(f"Say what {', '.join(f':{name}' for name in asking.missing)} stands for, and run it.")
    st.stop()
try:
    show_answer(asking)
except (psycopg.Error, ValueError, OperationalError) as error:
    st.error("The statement was refused.")
    st.code(refusal(error, asking), language=None)
