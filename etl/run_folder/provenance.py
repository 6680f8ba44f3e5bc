"""What a result depends on besides its inputs: the code, and the libraries under it."""

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("torch", "transformers", "sae-lens", "numpy", "feature-atlas")


@cache
def code_version() -> tuple[str, bool]:
    """Commit and whether the tree was dirty; the package's version outside a checkout.

    Asked once per process: what is loaded does not change when files do.
    """
    here = Path(__file__).parent
    try:
        commit = _git(here, "rev-parse", "HEAD")
        return commit, bool(_git(here, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return f"feature-atlas {_installed('feature-atlas')}", False


def libraries() -> dict[str, str]:
    """Versions that the numbers depend on."""
    return {name: _installed(name) for name in LIBRARIES} | {"python": platform.python_version()}


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    return done.stdout.strip()
