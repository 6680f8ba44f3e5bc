"""One rule for CSV: what is written is what is read, and no spreadsheet computes it."""

import io
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_atlas.models.notation.csv_text import guarded, meant, read_csv, write_csv
from feature_atlas.models.notation.exact_values import IntervalText, JsonText


def written(*rows: tuple, names: tuple[str, ...] = ("a", "b")) -> str:
    stream = io.StringIO()
    assert write_csv(stream, names, rows) == len(rows)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        ("", '""'),
        ('say "left", é', '"say ""left"", é"'),
        ("two\nlines", '"two\nlines"'),
        (True, "true"),
        (-5, "-5"),
        (-0.1, "-0.1"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        (Decimal("1E-10"), "0.0000000001"),
        (Decimal("123456789012345678901234567890.5"), "123456789012345678901234567890.5"),
        (date(2026, 11, 22), "2026-11-22"),
        (datetime(2026, 11, 22, 10, 0, 0, 1, UTC), "2026-11-22T10:00:00.000001+00:00"),
        (b"\x00\xff", "\\x00ff"),
        ([1.5, None, "a"], '"[1.5, null, ""a""]"'),
        (JsonText("-5"), "-5"),
        (IntervalText("P1M"), "P1M"),
        ("=1+1", "'=1+1"),
        ("+49", "'+49"),
        ("-x", "'-x"),
        ("@here", "'@here"),
        ("\t=1", "'\t=1"),
        ("'=1", "''=1"),
        ("'tis", "'tis"),
        ("a=1", "a=1"),
    ],
)
def test_a_value_has_one_notation(value: object, cell: str):
    assert written((value, 1)) == f"a,b\n{cell},1\n"


@given(st.text(alphabet="'=+-@\t\r\n\",ab "))
def test_every_text_is_read_as_it_was(text: str):
    assert meant(guarded(text)) == text
    assert guarded(text)[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n")


def test_a_file_is_read_as_it_was_written(tmp_path: Path):
    texts = ["=1", "'=1", "''", "'tis", "a\r\nb", '"', "é", " x ", ""]
    file = tmp_path / "texts.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        write_csv(stream, ("=name", "b"), [(text, None) for text in texts])
    names, rows = read_csv(file)

    assert names == ["=name", "b"]
    assert [row["=name"] for _, row in rows] == texts
    assert rows[0] == (2, {"=name": "=1", "b": ""})


def test_two_columns_of_one_name_are_both_there_and_a_row_of_nothing_is_a_row():
    assert written((1, 2), names=("a", "a")) == "a,a\n1,2\n"
    table = written((None,), ("x",), names=("only",))
    assert len(pd.read_csv(io.StringIO(table))) == 2


@pytest.mark.parametrize("content", [b'a,b\n"x,1\n', b"a,b\n\xff,1\n"])
def test_what_is_no_csv_names_the_file(content: bytes, tmp_path: Path):
    (tmp_path / "no.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"no.csv is not CSV in UTF-8"):
        read_csv(tmp_path / "no.csv")


def test_a_short_row_ends_in_nothing_and_a_long_one_is_cut(tmp_path: Path):
    (tmp_path / "rows.csv").write_bytes(b"\xef\xbb\xbfa,b\n1\n\n1,2,3\n")

    assert read_csv(tmp_path / "rows.csv").rows == [
        (2, {"a": "1", "b": ""}),
        (4, {"a": "1", "b": "2"}),
    ]
