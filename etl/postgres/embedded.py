"""A PostgreSQL of our own in ATLAS_HOME: started on demand, stopped after its last user.

Every process that uses the server holds a shared lock on the file `lease`; a small keeper
process waits for the exclusive lock, gets it when the last user ended (however it ended), and
stops the server.
"""

import contextlib
import fcntl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from feature_atlas.etl.postgres.data_folder import write_private
from feature_atlas.etl.postgres.given_server import check_server
from feature_atlas.etl.postgres.process import START_SECONDS, STOP_SECONDS, ServerProcess
from feature_atlas.models.session import atlas_home, given_url, url_file


class EmbeddedPostgres:
    """The server of one ATLAS_HOME. `with EmbeddedPostgres(home) as url: ...`"""

    def __init__(self, home: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.folder = home.absolute() / "postgres"
        self.url_file = url_file(home.absolute())
        self._server = ServerProcess(self.folder, dict(settings or {}))
        self._lease: IO[str] | None = None

    def start(self) -> str:
        """The server's address; starts it if nobody did. Ours until `release` or our end."""
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        if self._lease is None:
            self._lease = _locked(self.folder / "lease", fcntl.LOCK_SH, START_SECONDS)
        try:
            with self._alone():
                url = self._server.running() or self._server.launch()
                write_private(self.folder / "url", url + "\n")
                self._keep()
        except BaseException:
            self.release()
            raise
        return url

    def release(self) -> None:
        """We no longer need the server: it stops when nobody does."""
        if self._lease is not None:
            self._lease.close()
            self._lease = None

    def stop(self) -> bool:
        """Stop the server now, whoever uses it. False if none was running."""
        self.release()
        if not self.folder.is_dir():
            return False
        with self._alone():
            return self._halt()

    def __enter__(self) -> str:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _halt(self) -> bool:
        """Stop what runs, and tell nobody the address any more."""
        url = self._server.running()
        said = self._server.data.pid_file()
        self.url_file.unlink(missing_ok=True)
        if url is None or said is None:
            return False
        self._server.end(int(said[0]))
        return True

    # ------------------------------------------------------------------ keeper

    def _keep(self) -> None:
        """See to it that a keeper waits for the end of the last user."""
        try:
            _locked(self.folder / "keeper", fcntl.LOCK_EX, 0).close()
        except TimeoutError:
            return  # one is there
        with (self.folder / "log").open("ab") as output:
            subprocess.Popen(
                [sys.executable, "-m", __name__, str(self.folder.parent)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                start_new_session=True,
            )

    def keep(self) -> None:
        """Be the keeper: wait until nobody uses the server, then stop it."""
        try:
            keeper = _locked(self.folder / "keeper", fcntl.LOCK_EX, 0)
        except TimeoutError:
            return
        with (self.folder / "lease").open("a", encoding="utf-8") as lease:
            fcntl.flock(lease, fcntl.LOCK_EX)
            with self._alone():
                self._halt()
            keeper.close()  # before the lease: who comes next must see that no keeper is left

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time starts or stops the server."""
        with _locked(self.folder / "lock", fcntl.LOCK_EX, START_SECONDS + STOP_SECONDS):
            yield


def ensure_database() -> str:
    """Address of a usable database: ATLAS_DATABASE_URL, else our own server, started if need be."""
    given = given_url()
    if given is not None:
        check_server(given)
        return given
    home = atlas_home()
    server = _OURS.setdefault(home, EmbeddedPostgres(home))
    return server.start()


_OURS: dict[Path, EmbeddedPostgres] = {}  # leases of this process, held until it ends


def _locked(path: Path, kind: int, seconds: float) -> IO[str]:
    """The file, opened and locked; the lock goes when the file is closed or its process ends."""
    file = path.open("a", encoding="utf-8")
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() >= deadline:
                file.close()
                raise TimeoutError(
                    f"another process has held {path} for {seconds:.0f} s; end it and try again."
                ) from None
            time.sleep(0.02)


def main(arguments: list[str]) -> Any:
    """The keeper process: `python -m feature_atlas.etl.postgres.embedded HOME`."""
    EmbeddedPostgres(Path(arguments[0])).keep()


if __name__ == "__main__":
    main(sys.argv[1:])
