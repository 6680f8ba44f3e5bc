"""SQL in a notebook: one line, one DataFrame.

    from feature_atlas.dashboards.notebook import sql

    sql("SELECT layer, feature, label FROM spatial WHERE f1 > :least", least=0.8)

It reads, as atlas_reader, the database that ATLAS_DATABASE_URL names, else the embedded one of
ATLAS_HOME while that runs (`feature-atlas dashboard` keeps it up); it starts none itself.
`docs/cookbook.md` has questions to begin with.
"""

import json
import re
import warnings
from functools import cache
from typing import Any

import pandas as pd
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from feature_atlas.models.notation.exact_values import IntervalText, JsonText
from feature_atlas.models.session import database_url, make_reader_engine
from feature_atlas.models.user_sql import run_user_sql


def sql(query: str, /, *, max_rows: int = 100_000, **values: Any) -> pd.DataFrame:
    """The rows of one SELECT; `:name` in it stands for the keyword argument of that name.

    Values are never part of the SQL, so they may be anything. Exact decimals become floats.
    """
    engine = _engine(database_url())
    try:
        answer = run_user_sql(engine, query, max_rows=max_rows, values=values)
    except OperationalError as error:
        raise RuntimeError(
            f"the database does not answer ({error.orig}). `feature-atlas dashboard` runs the "
            "embedded one; `feature-atlas doctor` says which address was tried."
        ) from None
    if answer.is_cut:
        warnings.warn(
            f"stopped after {max_rows:,} rows: aggregate, add a LIMIT, or raise max_rows",
            stacklevel=2,
        )
    rows = [tuple(map(_as_python, row)) for row in answer.rows]
    return pd.DataFrame.from_records(rows, columns=answer.names, coerce_float=True)


def _as_python(value: Any) -> Any:
    """JSON as lists and dicts, and a length of time as one; with months it stays a text."""
    if isinstance(value, list):
        return [_as_python(entry) for entry in value]
    if isinstance(value, JsonText):
        return json.loads(value)
    if isinstance(value, IntervalText) and not re.search("[YM]", value.partition("T")[0]):
        return pd.Timedelta(value)
    return value


@cache
def _engine(url: str) -> Engine:
    return make_reader_engine(url)
