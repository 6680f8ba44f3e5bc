"""A PostgreSQL of our own in ATLAS_HOME: started on demand, stopped after its last user.

Every process that uses the server holds a shared lock on the file `lease`; a small keeper
process waits for the exclusive lock, gets it when the last user ended (however it ended), and
stops the server. Alive means that a connection succeeds, never that a process id exists.

The server is private to its user: a socket in a folder that only the user can enter, or, where
that path is too long for a socket, the loopback interface with a generated password.
"""

import contextlib
import fcntl
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit

import psycopg

from feature_atlas.etl.postgres_binaries import (
    OLDEST,
    Account,
    account_for,
    find_binaries,
    major_version,
)
from feature_atlas.models.session import atlas_home, url_file

log = logging.getLogger(__name__)

OWNER = "atlas"
START_SECONDS = 120  # recovery of a big write-ahead log takes long
STOP_SECONDS = 60
LONGEST_SOCKET = 100  # bytes; Linux allows 107, macOS 103
OUTSIDE = Path("/var/lib/feature-atlas")  # for servers that may not enter the user's folders


class EmbeddedPostgres:
    """The server of one ATLAS_HOME. `with EmbeddedPostgres(home) as url: ...`"""

    def __init__(self, home: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.folder = home.absolute() / "postgres"
        self.url_file = url_file(home.absolute())
        self.settings = dict(settings or {})
        self._lease: IO[str] | None = None

    def start(self) -> str:
        """The server's address; starts it if nobody did. Ours until `release` or our end."""
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        if self._lease is None:
            self._lease = _locked(self.folder / "lease", fcntl.LOCK_SH, START_SECONDS)
        try:
            with self._alone():
                url = self._running() or self._launch()
                self._write_private("url", url + "\n")
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

    # ------------------------------------------------------------------ a running server

    @property
    def _data(self) -> Path:
        return (self.folder / "data").resolve()

    def _running(self) -> str | None:
        """Address of the server that answers on our data folder, None if none does."""
        said = self._pid_file()
        if said is None:
            return None
        url = self._address(said[4], int(said[3]))
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with psycopg.connect(url, connect_timeout=10) as connection:
                    row = connection.execute("SHOW data_directory").fetchone()
                return url if row == (str(self._data),) else None
            except psycopg.OperationalError as error:
                # another process is starting or stopping it, or it died: ask what is there
                if not _processes_in(self._data):
                    return None
                if time.monotonic() > deadline:
                    raise RuntimeError(
                        f"the server in {self._data} runs but does not answer: {error}. See "
                        f"{self.folder / 'log'}, end process {said[0]} and try again."
                    ) from None
            time.sleep(0.1)

    def _pid_file(self) -> list[str] | None:
        """What the server wrote about itself: pid, folder, start, port, socket folder, ..."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return None
        return lines if len(lines) >= 6 else None

    def _address(self, socket_folder: str, port: int, database: str = "atlas") -> str:
        if socket_folder:
            return f"postgresql://{OWNER}@/{database}?host={quote(socket_folder)}&port={port}"
        password = (self.folder / "password").read_text().strip()
        return f"postgresql://{OWNER}:{password}@127.0.0.1:{port}/{database}"

    # ------------------------------------------------------------------ start

    def _launch(self) -> str:
        binaries = find_binaries()
        account = account_for(self._data)
        if not account.can_execute(binaries / "postgres"):
            binaries = _copy_binaries(binaries, account)
        self._check_data(major_version(binaries))
        if not self._data.exists():
            self._initialise(binaries, account)
        self._forget_dead_server()

        socket_folder, port = self._place(account)
        settings = _settings(socket_folder, port) | self.settings
        command = [*account.prefix, str(binaries / "postgres"), "-D", str(self._data)]
        command += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        log_file = self.folder / "log"
        if log_file.exists() and log_file.stat().st_size > 10_000_000:
            log_file.replace(self.folder / "log.1")
        with log_file.open("ab") as output:
            begin = output.tell()
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=_clean_environment(),
                start_new_session=True,
                **account.options(),
            )
        self._wait(process, self._address(socket_folder, port, "postgres"), begin)
        self._create_database(socket_folder, port)
        return self._address(socket_folder, port)

    def _check_data(self, version: int) -> None:
        """Refuse a data folder that this server cannot use, saying what to do."""
        if not self._data.exists():
            return
        away = f"mv {self._data} {self._data}.old"
        again = (
            "then run the same command again; `feature-atlas ingest` refills it from run folders"
        )
        stamp = self._data / "PG_VERSION"
        try:
            found = stamp.read_text().strip()
        except FileNotFoundError:
            raise RuntimeError(
                f"{self._data} is not a PostgreSQL data folder: it has no PG_VERSION. "
                f"Move it away ({away}), {again}."
            ) from None
        except PermissionError:
            raise RuntimeError(
                f"{self._data} belongs to another user. Run as that user, or set ATLAS_HOME "
                "to a folder of your own."
            ) from None
        if found != str(version):
            raise RuntimeError(
                f"{self._data} was made by PostgreSQL {found}, the programs here are PostgreSQL "
                f"{version}. Move it away ({away}), {again}; or set ATLAS_POSTGRES_BIN to the bin "
                f"folder of a PostgreSQL {found}."
            )

    def _initialise(self, binaries: Path, account: Account) -> None:
        """A new data folder. It gets its name when it is complete, so half a one never counts."""
        data = self.folder / "data"
        if data.is_symlink():
            data.unlink()  # the folder it led to is gone
        if account.uid is not None:
            self.folder.chmod(0o711)  # the account must pass through; what lies inside is private
            if not account.can_execute(self.folder):
                outside = OUTSIDE / secrets.token_hex(8)
                outside.mkdir(parents=True, mode=0o711)
                data.symlink_to(outside / "data")
        place = self._data.parent
        new = place / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        password_file = self._write_private("password", secrets.token_hex(24))
        secret = place / "password.new"
        secret.touch(mode=0o600)
        secret.write_text(password_file.read_text())
        for path in (new, secret):
            account.own(path)
        options = ["-U", OWNER, "--encoding=UTF8", "--locale=C", f"--pwfile={secret}"]
        if major_version(binaries) >= 17:
            options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        # trust holds for the socket alone, which lies in a folder that only its user can enter
        options += ["--auth-local=trust", "--auth-host=scram-sha-256", "--no-instructions"]
        done = subprocess.run(
            [*account.prefix, str(binaries / "initdb"), "-D", str(new), *options],
            capture_output=True,
            text=True,
            cwd="/",
            env=_clean_environment(),
            **account.options(),
        )
        secret.unlink()
        if done.returncode != 0:
            shutil.rmtree(new, ignore_errors=True)
            raise RuntimeError(
                f"PostgreSQL could not make a data folder in {place}: "
                f"{(done.stderr or done.stdout).strip()}"
            )
        new.rename(place / "data")

    def _forget_dead_server(self) -> None:
        """Remove a process id that now belongs to something else, or to a zombie.

        PostgreSQL takes any process with that id for its predecessor and refuses to start; in a
        container ids repeat at every start. A dead id it handles itself.
        """
        if _processes_in(self._data):
            return
        shutil.rmtree(self._data.parent / "run", ignore_errors=True)  # its socket, with an id too
        said = self._pid_file()
        if said is not None and _exists(int(said[0])):
            log.warning("process %s is not the server of %s: forgetting it", said[0], self._data)
            (self._data / "postmaster.pid").unlink()

    def _place(self, account: Account) -> tuple[str, int]:
        """Socket folder and port to listen on; no socket folder: loopback only."""
        folder = self._data.parent / "run"
        if len(os.fsencode(folder / ".s.PGSQL.5432")) <= LONGEST_SOCKET and '"' not in str(folder):
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)
            account.own(folder)
            return str(folder), 5432
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return "", int(probe.getsockname()[1])

    def _wait(self, process: subprocess.Popen[bytes], url: str, begin: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(url, connect_timeout=10).close()
                return
            except psycopg.OperationalError as error:
                reason = str(error)
            if process.poll() is not None or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        process.terminate()
        with (self.folder / "log").open("rb") as output:
            output.seek(begin)
            tail = output.read().decode(errors="replace").splitlines()[-15:]
        raise RuntimeError(
            f"PostgreSQL did not start on {self._data} ({reason.strip()}). "
            f"The end of {self.folder / 'log'}:\n  " + "\n  ".join(tail) + "\n"
            f"If the data folder is damaged: mv {self._data} {self._data}.old, run the same "
            "command again, and `feature-atlas ingest` the run folders."
        )

    def _create_database(self, socket_folder: str, port: int) -> None:
        url = self._address(socket_folder, port, "postgres")
        with psycopg.connect(url, autocommit=True) as connection:
            found = connection.execute("SELECT FROM pg_database WHERE datname = 'atlas'").fetchone()
            if found is None:
                connection.execute("CREATE DATABASE atlas")

    # ------------------------------------------------------------------ stop

    def _halt(self) -> bool:
        """Fast shutdown: open transactions roll back, what was committed is written."""
        url = self._running()
        said = self._pid_file()
        self.url_file.unlink(missing_ok=True)
        if url is None or said is None:
            return False
        os.kill(int(said[0]), signal.SIGINT)
        deadline = time.monotonic() + STOP_SECONDS
        while (self._data / "postmaster.pid").exists():
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"the server in {self._data} did not stop in {STOP_SECONDS} s; "
                    f"see {self.folder / 'log'}."
                )
            time.sleep(0.05)
        return True

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
        with (self.folder / "lease").open("a") as lease:
            fcntl.flock(lease, fcntl.LOCK_EX)
            with self._alone():
                self._halt()
            keeper.close()  # before the lease: who comes next must see that no keeper is left

    # ------------------------------------------------------------------ files

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time starts or stops the server."""
        with _locked(self.folder / "lock", fcntl.LOCK_EX, START_SECONDS + STOP_SECONDS):
            yield

    def _write_private(self, name: str, text: str) -> Path:
        path = self.folder / name
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        new.write_text(text)
        new.replace(path)
        return path


def ensure_database() -> str:
    """Address of a usable database: ATLAS_DATABASE_URL, else our own server, started if need be."""
    given = os.environ.get("ATLAS_DATABASE_URL")
    if given:
        check_server(given)
        return given
    home = atlas_home()
    server = _OURS.setdefault(home, EmbeddedPostgres(home))
    return server.start()


_OURS: dict[Path, EmbeddedPostgres] = {}  # leases of this process, held until it ends


def check_server(url: str) -> None:
    """Refuse a server that is not there or too old, saying what to do."""
    address = urlsplit(url)
    where = f"{address.hostname or 'local socket'}:{address.port or 5432}{address.path}"
    try:
        with psycopg.connect(_for_libpq(url), connect_timeout=10) as connection:
            version = connection.info.server_version // 10_000
    except psycopg.Error as error:
        raise RuntimeError(
            f"cannot reach the database at {where}: {str(error).strip()}. ATLAS_DATABASE_URL must "
            f"name a running PostgreSQL {OLDEST} or newer, as postgresql://user:password@host:port/"
            "database. Correct it, start that server, or unset it to use the embedded one."
        ) from None
    if version < OLDEST:
        raise RuntimeError(
            f"the database at {where} is PostgreSQL {version}, expected {OLDEST} or newer. "
            "Upgrade it, or unset ATLAS_DATABASE_URL to use the embedded server."
        )


def capabilities(url: str) -> frozenset[str]:
    """Extensions that the server could load, e.g. `vector` for search by meaning."""
    with psycopg.connect(_for_libpq(url), connect_timeout=10) as connection:
        rows = connection.execute("SELECT name FROM pg_available_extensions").fetchall()
    return frozenset(name for (name,) in rows)


def _for_libpq(url: str) -> str:
    """SQLAlchemy may name a driver in the scheme; libpq does not know it."""
    scheme, _, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}://{rest}"


def _locked(path: Path, kind: int, seconds: float) -> IO[str]:
    """The file, opened and locked; the lock goes when the file is closed or its process ends."""
    file = path.open("a")
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


def _settings(socket_folder: str, port: int) -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    settings = {
        "listen_addresses": "" if socket_folder else "127.0.0.1",
        "unix_socket_directories": f'"{socket_folder}"' if socket_folder else "",
        "port": str(port),
        "max_connections": "50",
        "shared_buffers": f"{min(memory // 4, 1024)}MB",
        "maintenance_work_mem": f"{min(memory // 8, 512)}MB",
        "max_wal_size": "4GB",
        "jit": "off",
        "log_min_duration_statement": "2s",
        "client_connection_check_interval": "5s" if sys.platform == "linux" else "0",
    }
    shared = Path("/dev/shm")
    if sys.platform == "linux" and (not shared.is_dir() or shutil.disk_usage(shared).total < 2**30):
        settings["dynamic_shared_memory_type"] = "mmap"  # Docker's 64 MB are too few for sorting
    return settings


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _processes_in(data: Path) -> list[int]:
    """Processes at work in the data folder; zombies have none. The server enters it at start."""
    if not Path("/proc/self/cwd").exists():  # macOS: believe the id in the server's own file
        with contextlib.suppress(FileNotFoundError):
            lines = (data / "postmaster.pid").read_text().splitlines()
            return [int(lines[0])] if lines and _exists(int(lines[0])) else []
        return []
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if (entry / "cwd").readlink() == data:
                    found.append(int(entry.name))
    return found


def _copy_binaries(binaries: Path, account: Account) -> Path:
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


def main(arguments: list[str]) -> Any:
    """The keeper process: `python -m feature_atlas.etl.postgres HOME`."""
    EmbeddedPostgres(Path(arguments[0])).keep()


if __name__ == "__main__":
    main(sys.argv[1:])
