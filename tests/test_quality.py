"""Style, types and architecture, checked on the package as it would be installed.

`make lint` runs this file alone. An editable install hides the folders from static tools, so the
wheel is built and unpacked; that also shows that the wheel holds everything.
"""

import subprocess
import sys
import zipfile
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("models", "migrations", "etl", "dashboards")


def run(*command: str, cwd: Path = ROOT) -> None:
    """Run a tool; its own words are the failure."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The unpacked wheel, always in the same place so that mypy remembers what it saw."""
    folder = ROOT / "build" / "quality"
    folder.mkdir(parents=True, exist_ok=True)
    build = (
        "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    )
    for old in folder.glob("*.whl"):
        old.unlink()
    subprocess.run(
        [sys.executable, "-c", build, str(folder)], cwd=ROOT, capture_output=True, check=True
    )
    package = folder / "package"
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        names = set(archive.namelist())
        for old in package.rglob("*.py"):
            if str(old.relative_to(package)) not in names:
                old.unlink()
        for name in names:
            content, target = archive.read(name), package / name
            if not target.is_file() or target.read_bytes() != content:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
    return package


def test_the_code_keeps_the_rules_of_style():
    run("ruff", "check", ".")


def test_the_code_is_formatted():
    run("ruff", "format", "--check", ".")


def test_types_fit(wheel: Path):
    run(
        "mypy",
        "--config-file",
        str(ROOT / "pyproject.toml"),
        "--cache-dir",
        str(ROOT / ".mypy_cache"),
        "-p",
        "feature_atlas",
        cwd=wheel,
    )


def test_imports_run_in_one_direction(wheel: Path):
    command = "from importlinter.cli import lint_imports_command as lint; lint()"
    done = subprocess.run(
        [sys.executable, "-c", command, "--config", str(ROOT / "pyproject.toml")],
        cwd=wheel,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"\n{done.stdout}\n{done.stderr}"
    assert "0 broken" in done.stdout


def test_src_is_mathematics_without_database_or_flow(wheel: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(wheel)
    graph = grimp.build_graph("feature_atlas", include_external_packages=True, cache_dir=None)
    banned = {"sqlalchemy", "psycopg", "alembic", "prefect", "streamlit", "typer"}

    rooms = tuple(f"feature_atlas.{room}" for room in ROOMS)
    src = [m for m in graph.modules if m.startswith("feature_atlas.") and not m.startswith(rooms)]
    found = {m: graph.find_modules_directly_imported_by(m) & banned for m in src}

    assert len(src) > 10
    assert {m: names for m, names in found.items() if names} == {}


def test_the_wheel_holds_what_is_no_python(wheel: Path):
    expected = [
        *(ROOT / "src/feature_atlas/meaning/prompts").glob("*.txt"),
        *(p for p in (ROOT / "src/feature_atlas/toy/weights").rglob("*") if p.is_file()),
    ]
    held = {path.relative_to(wheel) for path in wheel.rglob("*") if path.is_file()}

    for path in expected:
        assert path.relative_to(ROOT / "src") in held
    for folder, pattern in (
        ("migrations", "views/*.sql"),
        ("etl", "*.sql"),
        ("etl", "skills/*.yaml"),
        ("dashboards", "*.py"),
    ):
        for path in (ROOT / folder).glob(pattern):
            assert Path("feature_atlas") / path.relative_to(ROOT) in held
    assert Path("feature_atlas/migrations/script.py.mako") in held


def test_no_file_is_called_utils():
    assert [p for room in (*ROOMS, "src", "tests") for p in (ROOT / room).rglob("utils.py")] == []
