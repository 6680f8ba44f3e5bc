"""Where the embedded server's socket lies: in `postgres/run`, or elsewhere where that cannot be.

A socket's path is short, and to a client a comma ends it. The folder elsewhere has a name that
follows from the data's own, so that it is the same at every start, unless somebody else took it.
"""

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from feature_atlas.etl.postgres.binaries import Account

LONGEST = 100
"""Bytes of the path; Linux allows 107, macOS 103."""


def socket_folder_for(data: Path, account: Account) -> Path:
    """A folder for the socket that the account alone can enter, made if need be."""
    folder = data.parent / "run"
    if not _is_fit(folder):
        name = f"feature-atlas-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"
        folder = _place_elsewhere() / name
    folder.mkdir(mode=0o700, exist_ok=True)
    if not _is_ours(folder, account):  # whoever may write in that place can take the name
        folder = Path(tempfile.mkdtemp(prefix="feature-atlas-", dir=folder.parent))
    folder.chmod(0o700)
    account.own(folder)
    return folder


def _place_elsewhere() -> Path:
    """The user's folder for such things, else everybody's."""
    for place in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):
        if place and os.access(place, os.W_OK | os.X_OK) and _is_fit(Path(place) / ("x" * 30)):
            return Path(place)
    raise RuntimeError(
        "no folder for the database's socket: set TMPDIR to one with a path below 50 characters, "
        "without commas, in which you may write."
    )


def _is_fit(folder: Path) -> bool:
    path = os.fsencode(folder / ".s.PGSQL.5432")
    return len(path) <= LONGEST and not any(sign in str(folder) for sign in ',"')


def _is_ours(folder: Path, account: Account) -> bool:
    said = folder.lstat()
    return stat.S_ISDIR(said.st_mode) and said.st_uid in (os.geteuid(), account.uid)
