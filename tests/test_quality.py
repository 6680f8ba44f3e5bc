"""Style, types, architecture, and what the wheel holds.

`make lint` runs this file alone. The floors are linked into `src/feature_atlas`, so tools see one
ordinary package, as editors do.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import grimp
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
FLOORS = ("models", "migrations", "etl", "dashboards")


def run(*command: str, cwd: Path = ROOT) -> None:
    """Run a tool; its own words are the failure."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"\n{done.stdout}\n{done.stderr}"


def test_the_code_keeps_the_rules_of_style():
    run("ruff", "check", ".")


def test_the_code_is_formatted():
    run("ruff", "format", "--check", ".")


def test_types_fit():
    settings = ("--config-file", str(ROOT / "pyproject.toml"))
    run("mypy", *settings, "--cache-dir", str(ROOT / ".mypy_cache"), "-p", "feature_atlas", cwd=SRC)


def test_imports_run_in_one_direction():
    command = "from importlinter.cli import lint_imports_command as lint; lint()"
    done = subprocess.run(
        [sys.executable, "-c", command, "--config", str(ROOT / "pyproject.toml")],
        cwd=SRC,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"\n{done.stdout}\n{done.stderr}"
    assert "0 broken" in done.stdout


def test_src_is_mathematics_without_database_or_flow():
    graph = grimp.build_graph("feature_atlas", include_external_packages=True, cache_dir=None)
    banned = {"sqlalchemy", "psycopg", "alembic", "prefect", "streamlit", "typer"}

    floors = tuple(f"feature_atlas.{floor}" for floor in FLOORS)
    src = [m for m in graph.modules if m.startswith("feature_atlas.") and not m.startswith(floors)]
    found = {m: graph.find_modules_directly_imported_by(m) & banned for m in src}

    assert len(src) > 10
    assert {m: names for m, names in found.items() if names} == {}


def test_the_wheel_holds_every_file_of_every_floor(tmp_path: Path):
    build = (
        "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    )
    copy = tmp_path / "copy"  # so that nothing is left in the tree, and nothing old is picked up
    for name in ("src", *FLOORS, "docs", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, copy / name)
    subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=copy, capture_output=True, check=True
    )
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = copy / "src" / "feature_atlas"
    files = [Path(folder, name) for folder, _, names in os.walk(package, followlinks=True)
             for name in names]  # fmt: skip

    assert held == {str(file.relative_to(copy / "src")) for file in files}
    assert any(name.endswith("views/feature.sql") for name in held)


def test_no_file_is_called_utils():
    assert [p for room in (*FLOORS, "src", "tests") for p in (ROOT / room).rglob("utils.py")] == []
