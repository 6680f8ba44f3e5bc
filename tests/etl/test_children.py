"""What we start ends with us, however we end; and a flow's server is asked for before the flow."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from feature_atlas.etl import prefect_server
from feature_atlas.etl.prefect_server import require_prefect

PARENT = """
import sys
from feature_atlas.etl.children import run_while_we_live
run_while_we_live([sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); "
                   "time.sleep(60)"], {})
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    said = Path(f"/proc/{pid}/stat").read_text()
    return said.rpartition(")")[2].split()[0] != "Z"  # a zombie only waits for its parent


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL, signal.SIGINT])
def test_a_child_ends_with_its_parent(how: signal.Signals):
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert is_alive(child)

    parent.send_signal(how)
    if how == signal.SIGINT:  # a terminal interrupts both
        os.kill(child, how)
    parent.wait(timeout=20)

    deadline = time.monotonic() + 20
    while is_alive(child):
        assert time.monotonic() < deadline, f"the child outlives {how!r}"
        time.sleep(0.05)


def test_a_dead_prefect_server_is_named_before_the_flow_begins():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with temporary_settings({PREFECT_API_URL: f"http://me:secret@127.0.0.1:{port}/api"}):
        with pytest.raises(
            RuntimeError, match=f"no Prefect server answers at 127.0.0.1:{port}"
        ) as e:
            require_prefect()

    assert "PREFECT_API_URL" in str(e.value)
    assert "secret" not in str(e.value)


def test_our_own_prefect_server_ends_with_us(monkeypatch: pytest.MonkeyPatch):
    watched = []

    class Server:
        running = False

        def _run_uvicorn_command(self):
            return "the process"

        def start(self):
            assert self._run_uvicorn_command() == "the process"
            self.running = True

    server = Server()
    monkeypatch.setattr(prefect_server, "SubprocessASGIServer", lambda: server)
    monkeypatch.setattr(prefect_server, "end_with_us", watched.append)
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        require_prefect()
        require_prefect()

    assert watched == ["the process"]
