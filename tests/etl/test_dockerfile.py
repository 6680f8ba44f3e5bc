"""The image's steps, read without Docker: what they copy is there, what they start is installed."""

import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, str]]:
    """Instructions with their arguments, in order."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    found = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    return [(instruction, rest) for instruction, rest in found]


def arguments(steps: list[tuple[str, str]], instruction: str) -> list[str]:
    return [rest for name, rest in steps if name == instruction]


def test_python_is_one_that_the_package_takes(steps):
    (image,) = arguments(steps, "FROM")
    version = tuple(map(int, image.removeprefix("python:").removesuffix("-slim").split(".")))

    assert (3, 11) <= version < (3, 14)


def test_what_is_copied_is_there_and_not_kept_out(steps):
    ignored = (ROOT / ".dockerignore").read_text().split()

    for copied in arguments(steps, "COPY"):
        *sources, _ = copied.split()
        assert all((ROOT / source).exists() and source not in ignored for source in sources)


def test_it_installs_the_locked_packages_and_then_the_atlas_alone(steps):
    installs = [rest for rest in arguments(steps, "RUN") if rest.startswith("pip install ")]

    assert installs == [
        "pip install -r requirements-workers.lock",
        "pip install --no-deps --no-build-isolation .",
    ]
    assert "\n-r requirements.lock\n" in (ROOT / "requirements-workers.lock").read_text()
    locked = (ROOT / "requirements.lock").read_text()
    assert "\nsetuptools==" in locked  # what builds it without isolation


def test_it_starts_the_command_as_somebody_who_may_write_where_the_atlas_lies(steps):
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    (home,) = (rest for rest in arguments(steps, "ENV") if rest.startswith("ATLAS_HOME="))

    assert arguments(steps, "ENTRYPOINT") == ['["feature-atlas"]']
    assert "feature-atlas" in scripts
    assert arguments(steps, "USER") == ["atlas"]
    assert any("install -d -o atlas -g atlas /data" in rest for rest in arguments(steps, "RUN"))
    assert home == "ATLAS_HOME=/data"
    assert all("atlas:/data" in services[name]["volumes"] for name in ("migrate", "worker"))
