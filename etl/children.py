"""Programs that we start and that must not outlive us, however we end."""

import subprocess
from typing import Any


def end_with_us(child: int | subprocess.Popen[Any]) -> subprocess.Popen[bytes]:
    """Have a process told to end (SIGTERM) when ours has ended, killed or not.

    A shell waits at a pipe that we alone hold, and that the system closes for us. Returns that
    shell: whoever saw the child end kills it.
    """
    number = child if isinstance(child, int) else child.pid
    return subprocess.Popen(
        ["/bin/sh", "-c", 'read _; kill -TERM "$0"', str(number)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # what interrupts us must not end it first
    )


def run_while_we_live(command: list[str], environment: dict[str, str]) -> int:
    """Run a program until it ends, or we do; its exit code."""
    child = subprocess.Popen(command, env=environment)
    watcher = end_with_us(child)
    try:
        return child.wait()
    except KeyboardInterrupt:  # the terminal interrupts both
        return child.wait()
    finally:
        watcher.kill()
        watcher.wait()
