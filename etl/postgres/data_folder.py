"""The data folder of the embedded server: `postgres/data` in ATLAS_HOME, checked or made anew.

Where the account that runs the server may not enter that folder, `data` is a link to one outside.
"""

import contextlib
import logging
import os
import shutil
import subprocess
from pathlib import Path

from feature_atlas.etl.postgres.binaries import (
    Account,
    clean_environment,
    folder_outside,
    major_version,
)

log = logging.getLogger(__name__)

OWNER = "atlas"
AGAIN = "then run the same command again; `feature-atlas ingest` refills it from run folders"


class DataFolder:
    """The data of the server that lives in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def path(self) -> Path:
        """Where the data are; the folder may not exist yet."""
        return (self.folder / "data").resolve()

    def pid_file(self) -> list[str] | None:
        """What the server wrote about itself: pid, folder, start, port, socket folder, ..."""
        try:
            lines = (self.path / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return None
        return lines if len(lines) >= 6 else None

    def check(self, version: int) -> None:
        """Refuse a data folder that this server cannot use, saying what to do."""
        if not self.path.exists():
            return
        found = self._version()
        if found != str(version):
            raise RuntimeError(
                f"{self.path} was made by PostgreSQL {found}, the programs here are PostgreSQL "
                f"{version}. Move it away ({self._away()}), {AGAIN}; or set ATLAS_POSTGRES_BIN to "
                f"the bin folder of a PostgreSQL {found}."
            )

    def _version(self) -> str:
        """Major version of the server that made the data."""
        try:
            return (self.path / "PG_VERSION").read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise RuntimeError(
                f"{self.path} is not a PostgreSQL data folder: it has no PG_VERSION. "
                f"Move it away ({self._away()}), {AGAIN}."
            ) from None
        except PermissionError:
            raise RuntimeError(
                f"{self.path} belongs to another user. Run as that user, or set ATLAS_HOME "
                "to a folder of your own."
            ) from None

    def _away(self) -> str:
        return f"mv {self.path} {self.path}.old"

    def initialise(self, binaries: Path, account: Account) -> None:
        """A new data folder. It gets its name when it is complete, so half a one never counts."""
        place = self._make_way(account)
        new = place / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        account.own(new)
        done = _initdb(binaries, account, new)
        if done.returncode != 0:
            shutil.rmtree(new, ignore_errors=True)
            raise RuntimeError(
                f"PostgreSQL could not make a data folder in {place}: "
                f"{(done.stderr or done.stdout).strip()}"
            )
        new.rename(place / "data")

    def _make_way(self, account: Account) -> Path:
        """The folder to make the data in, which the account can enter."""
        data = self.folder / "data"
        if data.is_symlink():
            data.unlink()  # the folder it led to is gone
        if account.uid is not None:
            self.folder.chmod(0o711)  # the account must pass through; what lies inside is private
            if not account.can_execute(self.folder):
                data.symlink_to(folder_outside() / "data")
        return self.path.parent

    def forget_dead_server(self, socket_folder: Path) -> None:
        """Remove a process id that now belongs to something else, or to a zombie.

        PostgreSQL takes any process with that id for its predecessor and refuses to start; in a
        container ids repeat at every start. A dead id it handles itself.
        """
        if processes_in(self.path):
            return
        for left in socket_folder.glob(".s.PGSQL.*"):  # its socket, with an id too
            left.unlink()
        said = self.pid_file()
        if said is not None and _exists(int(said[0])):
            log.warning("process %s is not the server of %s: forgetting it", said[0], self.path)
            (self.path / "postmaster.pid").unlink()


def _initdb(binaries: Path, account: Account, new: Path) -> subprocess.CompletedProcess[str]:
    options = ["-U", OWNER, "--encoding=UTF8", "--locale=C"]
    if major_version(binaries) >= 17:
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    # trust holds for the socket alone, which lies in a folder that only its user can enter
    options += ["--auth-local=trust", "--auth-host=reject", "--no-instructions"]
    return subprocess.run(
        [*account.prefix, str(binaries / "initdb"), "-D", str(new), *options],
        capture_output=True,
        text=True,
        cwd="/",
        env=clean_environment(),
        **account.options(),
    )


def write_private(path: Path, text: str) -> Path:
    """Write a file that only its user can read, whole or not at all."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(text, encoding="utf-8")
    new.replace(path)
    return path


def processes_in(data: Path) -> list[int]:
    """Processes at work in the data folder; zombies have none. The server enters it at start."""
    if not Path("/proc/self/cwd").exists():  # macOS: believe the id in the server's own file
        with contextlib.suppress(FileNotFoundError):
            lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            return [int(lines[0])] if lines and _exists(int(lines[0])) else []
        return []
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "cwd").readlink() == data:
                    found.append(int(entry.name))
    return found


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
