"""One line, one DataFrame."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from psycopg import errors

from feature_atlas.dashboards.notebook import sql


def test_one_line_gives_a_frame(full_atlas: str, written):
    found = sql("SELECT layer, feature, cosine, label FROM atlas.adapted ORDER BY layer, feature")

    expected = written("decoder_cosine", regime="text").merge(
        written("selection", is_adapted=True), on=["layer", "feature"]
    )
    assert found.columns.tolist() == ["layer", "feature", "cosine", "label"]
    np.testing.assert_allclose(found.cosine, expected.cosine)


def test_names_stand_for_values(full_atlas: str):
    found = sql(
        "SELECT feature, label FROM spatial WHERE layer = :layer AND label LIKE :start",
        layer=1,
        start="asks%",
    )

    assert sorted(found.feature) == [0, 1, 2, 3]
    assert sql("SELECT :words AS words", words="'; --").words.tolist() == ["'; --"]


def test_decimals_are_numbers(full_atlas: str):
    assert sql("SELECT round(2.5, 1) AS half").half.dtype == float


def test_json_and_lengths_of_time_are_pythons(full_atlas: str):
    found = sql(
        """SELECT '{"a": [1]}'::jsonb AS j, interval '90 s' AS short,
                   interval '1 mon' AS long, ':full_atlas' AS words, 1 AS words""",
        full_atlas=1,
    )

    [row] = found.itertuples(index=False)
    assert row[0] == {"a": [1]}
    assert found.short.dtype.kind == "m"
    assert (row[1].total_seconds(), row[2], *row[3:]) == (90, "P1M", ":full_atlas", 1)


def test_a_mistake_is_pointed_at(full_atlas: str):
    with pytest.raises(errors.UndefinedColumn, match=r"line 1, column 12:\nSELECT :n, nothing\n"):
        sql("SELECT :n, nothing", n=1)


def test_more_rows_than_asked_for_are_not_cut_silently(full_atlas: str):
    with pytest.warns(UserWarning, match="stopped after 10 rows"):
        found = sql("SELECT * FROM atlas.feature", max_rows=10)

    assert len(found) == 10


def test_it_can_only_read(full_atlas: str):
    with pytest.raises(errors.SyntaxError):
        sql("DELETE FROM atlas.review")
    with pytest.raises(errors.InsufficientPrivilege):
        sql("SELECT nextval('atlas.review_id_seq')")


def test_a_mistake_is_the_databases_own_message(full_atlas: str):
    with pytest.raises(errors.UndefinedColumn, match='column "f2" does not exist'):
        sql("SELECT f2 FROM atlas.feature")


def test_without_a_server_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ATLAS_HOME", str(tmp_path))
    monkeypatch.delenv("ATLAS_DATABASE_URL", raising=False)
    with pytest.raises(RuntimeError, match="no embedded server runs in"):
        sql("SELECT 1")

    monkeypatch.setenv("ATLAS_DATABASE_URL", f"postgresql://atlas@/atlas?host={tmp_path}")
    with pytest.raises(RuntimeError, match="`feature-atlas dashboard` runs the embedded one"):
        sql("SELECT 1")

    assert list(tmp_path.iterdir()) == []  # and starts nothing


def test_the_line_in_the_cookbook_works_and_is_quiet(full_atlas: str):
    document = (Path(__file__).parents[2] / "docs" / "cookbook.md").read_text()
    (line,) = re.findall(r"^```python\n(.*?)^```", document, re.DOTALL | re.MULTILINE)
    command = [sys.executable, "-c", line.replace("\nsql(", "\nfound = sql(") + "print(len(found))"]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    # f1 is a single-precision 0.8, which is a little more
    assert (done.stdout, done.stderr) == ("8\n", "")
