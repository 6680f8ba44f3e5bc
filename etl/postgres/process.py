"""The process of the embedded server: found, started, stopped.

Alive means that a connection succeeds, never that a process id exists. The server is private to
its user: it listens on a socket in a folder that only the user can enter, and on no network. There
it asks for no password, so that the reader logs in as himself and can become nobody else.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import psycopg

from feature_atlas.etl.postgres.binaries import (
    Account,
    account_for,
    clean_environment,
    copy_binaries,
    find_binaries,
    major_version,
)
from feature_atlas.etl.postgres.data_folder import OWNER, DataFolder, processes_in
from feature_atlas.etl.postgres.socket_folder import socket_folder_for

START_SECONDS = 120  # recovery of a big write-ahead log takes long
STOP_SECONDS = 60
PORT = 5432  # part of the socket's name


class ServerProcess:
    """The server that lives in `folder`, whoever started it."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.settings = settings
        self.data = DataFolder(folder)

    def running(self) -> str | None:
        """Address of the server that answers on our data folder, None if none does."""
        said = self.data.pid_file()
        if said is None:
            return None
        if not said[4]:
            raise RuntimeError(
                f"the server in {self.data.path} was started by an older version and listens on no "
                f"socket: end process {said[0]} and try again."
            )
        url = self._address(said[4], int(said[3]))
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with psycopg.connect(url, connect_timeout=10) as connection:
                    row = connection.execute("SHOW data_directory").fetchone()
                return url if row == (str(self.data.path),) else None
            except psycopg.OperationalError as error:
                # another process is starting or stopping it, or it died: ask what is there
                if not processes_in(self.data.path):
                    return None
                if time.monotonic() > deadline:
                    raise RuntimeError(
                        f"the server in {self.data.path} runs but does not answer: {error}. See "
                        f"{self.folder / 'log'}, end process {said[0]} and try again."
                    ) from None
            time.sleep(0.1)

    def _address(self, socket_folder: str, port: int, database: str = "atlas") -> str:
        return f"postgresql://{OWNER}@/{database}?host={quote(socket_folder)}&port={port}"

    # ------------------------------------------------------------------ start

    def launch(self) -> str:
        """Start the server, on new data if there are none; its address."""
        binaries = find_binaries()
        account = account_for(self.data.path)
        if not account.can_execute(binaries / "postgres"):
            binaries = copy_binaries(binaries, account)
        self.data.check(major_version(binaries))
        if not self.data.path.exists():
            self.data.initialise(binaries, account)
        socket_folder = socket_folder_for(self.data.path, account)
        self.data.forget_dead_server(socket_folder)

        settings = _settings(socket_folder) | self.settings
        process, begin = self._spawn(binaries, account, settings)
        url = self._address(str(socket_folder), PORT, "postgres")
        self._wait(process, url, begin)
        _create_database(url)
        return self._address(str(socket_folder), PORT)

    def _spawn(
        self, binaries: Path, account: Account, settings: dict[str, str]
    ) -> tuple[subprocess.Popen[bytes], int]:
        """The process, and where in the log its words begin."""
        command = [*account.prefix, str(binaries / "postgres"), "-D", str(self.data.path)]
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
                env=clean_environment(),
                start_new_session=True,
                **account.options(),
            )
        return process, begin

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
        raise RuntimeError(
            f"PostgreSQL did not start on {self.data.path} ({reason.strip()}). "
            f"The end of {self.folder / 'log'}:\n  " + "\n  ".join(self._said(begin)) + "\n"
            f"If the data folder is damaged: mv {self.data.path} {self.data.path}.old, run the "
            "same command again, and `feature-atlas ingest` the run folders."
        )

    def _said(self, begin: int) -> list[str]:
        """The last lines of the log, of this start alone."""
        with (self.folder / "log").open("rb") as output:
            output.seek(begin)
            return output.read().decode(errors="replace").splitlines()[-15:]

    # ------------------------------------------------------------------ stop

    def end(self, pid: int) -> None:
        """Fast shutdown: open transactions roll back, what was committed is written."""
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + STOP_SECONDS
        while (self.data.path / "postmaster.pid").exists():
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"the server in {self.data.path} did not stop in {STOP_SECONDS} s; "
                    f"see {self.folder / 'log'}."
                )
            time.sleep(0.05)


def _create_database(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = 'atlas'").fetchone()
        if found is None:
            connection.execute("CREATE DATABASE atlas")


def _settings(socket_folder: Path) -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": f'"{socket_folder}"',
        "port": str(PORT),
        "max_connections": "50",
        "shared_buffers": f"{min(memory // 4, 1024)}MB",
        "maintenance_work_mem": f"{min(memory // 8, 512)}MB",
        "random_page_cost": "1.1",  # a solid-state disk, and mostly in memory
        "max_wal_size": "4GB",
        "jit": "off",
        "log_min_duration_statement": "2s",
        "client_connection_check_interval": "5s" if sys.platform == "linux" else "0",
    }
    shared = Path("/dev/shm")
    if sys.platform == "linux" and (not shared.is_dir() or shutil.disk_usage(shared).total < 2**30):
        settings["dynamic_shared_memory_type"] = "mmap"  # Docker's 64 MB are too few for sorting
    return settings
