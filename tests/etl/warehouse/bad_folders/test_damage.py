"""Any damage to a folder: it is refused with its name, or the facts are what they should be.

ATLAS_EXAMPLES=1000 looks at as many random folders; without it a few, always the same.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from databases import create_database, drop_database
from fact_checksums import Facts, run_facts
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from run_folder import read_rows, replace_value
from sqlalchemy import Engine

from feature_atlas.etl.run_folder.manifest import read_manifest
from feature_atlas.etl.run_folder.table_rows import DENSE, SPARSE
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.etl.warehouse.progress import silent
from feature_atlas.etl.warehouse.verification import verify
from feature_atlas.models.session import make_engine

EXAMPLES = int(os.environ.get("ATLAS_EXAMPLES", "0"))


def examples(some: int) -> settings:
    """How many folders to look at."""
    return settings(
        max_examples=EXAMPLES or some,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.filter_too_much],
    )


@pytest.fixture(scope="module")
def new_database(postgres_url: str, template_database: str) -> Callable[[], Iterator[Engine]]:
    """A database for one example that gets as far as being loaded."""

    @contextmanager
    def database() -> Iterator[Engine]:
        name = f"damage_{uuid.uuid4().hex[:12]}"
        engine = make_engine(create_database(postgres_url, name, template_database))
        yield engine
        engine.dispose()
        drop_database(postgres_url, name)

    return database


@pytest.fixture(scope="module")
def undamaged(new_database, run_folder: Path) -> dict[str, Facts]:
    """Facts of the folder as it was written."""
    with new_database() as engine:
        return loaded(run_folder, engine)


def loaded(folder: Path, engine: Engine) -> dict[str, Facts]:
    slug = ingest(folder, engine).slug
    return run_facts(engine.url.render_as_string(hide_password=False), slug)


def is_refused(folder: Path) -> bool:
    """Whether verification refuses the folder; then it names it and says what to do."""
    try:
        verify(folder, read_manifest(folder), silent)
    except (ValueError, FileNotFoundError) as error:
        said = str(error)
    else:
        return False
    assert str(folder) in said
    assert "again" in said, said
    return True


@contextmanager
def copy_of(folder: Path) -> Iterator[Path]:
    """A folder to spoil."""
    with tempfile.TemporaryDirectory() as place:
        yield Path(shutil.copytree(folder, Path(place) / folder.name))


def spoil(content: bytes, how: str, start: int, some: bytes) -> bytes:
    """The content with some bytes other, more or fewer."""
    end = start + len(some)
    match how:
        case "change":
            return content[:start] + some + content[end:]
        case "insert":
            return content[:start] + some + content[start:]
        case "remove":
            return content[:start] + content[end:]
        case _:
            return content[:start]


@examples(60)
@given(
    number=st.integers(0, 10_000),
    how=st.sampled_from(["change", "insert", "remove", "truncate"]),
    place=st.floats(0, 1),
    some=st.binary(min_size=1, max_size=40),
    is_manifest=st.booleans(),
)
def test_bytes_changed_anywhere(
    number: int,
    how: str,
    place: float,
    some: bytes,
    is_manifest: bool,
    new_database,
    undamaged: dict[str, Facts],
    run_folder: Path,
):
    with copy_of(run_folder) as folder:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        file = folder / "manifest.json" if is_manifest else files[number % len(files)]
        content = file.read_bytes()
        file.write_bytes(spoil(content, how, int(place * len(content)), some))

        if not is_refused(folder):
            with new_database() as engine:
                assert loaded(folder, engine) == undamaged


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 70),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.floats(-1, 1, width=32),
    st.text(max_size=5),
    st.sampled_from(["text", "spatial", "vqav2", "B", "RAW"]),
    st.lists(st.floats(width=32), max_size=3),
)


@examples(20)
@given(
    table=st.sampled_from([*DENSE, *SPARSE]),
    column=st.integers(0, 10_000),
    row=st.integers(0, 10_000),
    value=values,
)
def test_a_value_changed_before_the_folder_was_sealed(
    table: str,
    column: int,
    row: int,
    value: object,
    new_database,
    undamaged: dict[str, Facts],
    run_folder: Path,
):
    with copy_of(run_folder) as folder:
        rows = read_rows(folder, table)
        name = rows.column_names[column % len(rows.column_names)]
        try:
            path = replace_value(folder, table, name, row % len(rows), value)
        except (pa.ArrowException, OverflowError, TypeError, UnicodeEncodeError):
            assume(False)  # the file itself cannot hold it
        if is_refused(folder):
            return
        is_same = read_rows(folder, table).equals(rows)
        with new_database() as engine:
            facts = loaded(folder, engine)
        changed = {name for name in facts if facts[name] != undamaged[name]}

        assert path.is_file()
        assert changed <= {table, "feature_record"}
        assert is_same or table in changed
        assert {name: f.n_rows for name, f in facts.items()} == {
            name: f.n_rows for name, f in undamaged.items()
        }
