import os
import subprocess
import sys
from pathlib import Path
from threading import Barrier, Thread

import pytest

from feature_atlas.etl.run_folder import claims
from feature_atlas.etl.run_folder.claims import claimed, owner_of

HOLD = """
import sys, time
from pathlib import Path
from feature_atlas.etl.run_folder.claims import claimed
with claimed(Path(sys.argv[1])) as claim:
    print(claim.number, flush=True)
    time.sleep(60)
"""


def left_by(what: Path, host: str, process: int, number: int = 0) -> Path:
    """A claim of a process elsewhere."""
    file = what.with_name(f"{what.name}.claim-{number}")
    file.write_text(f"{host}\n{process}\nsomebody")
    return file


def test_one_has_it_until_the_end_of_its_block(tmp_path):
    what = tmp_path / "stage"
    with claimed(what) as mine:
        assert mine is not None
        with claimed(what) as other:
            assert other is None
        assert owner_of(what) == f"process {os.getpid()} on {os.uname().nodename}"
    with claimed(what) as again:
        assert again == mine
    assert owner_of(what) is None
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_it_to_others(tmp_path):
    with pytest.raises(ZeroDivisionError), claimed(tmp_path / "stage"):
        1 / 0  # noqa: B018

    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_of_this_machine_loses_it_at_once(tmp_path):
    what = tmp_path / "stage"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, what], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline().strip() == "0"
    with claimed(what) as claim:
        assert claim is None
    holder.kill()
    holder.wait()

    with claimed(what) as claim:
        assert claim is not None
        assert claim.number == 1
    assert list(tmp_path.iterdir()) == []


def test_a_process_of_another_machine_loses_it_when_it_is_silent(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(claims.time, "monotonic", lambda: now[0])
    what = tmp_path / "stage"
    file = left_by(what, "elsewhere", 7)

    def is_mine() -> bool:
        with claimed(what) as claim:
            return claim is not None

    assert not is_mine()  # seen for the first time
    now[0] += claims.LEASE - 1
    assert not is_mine()
    os.utime(file, (5.0, 5.0))  # it lives; what its clock says does not matter
    now[0] += 2
    assert not is_mine()
    now[0] += claims.LEASE + 1
    assert is_mine()


def test_who_was_taken_for_dead_learns_it_and_leaves_the_claim_alone(tmp_path):
    what = tmp_path / "stage"
    with claimed(what) as claim:
        assert claim is not None
        assert not claim.is_lost
        follower = left_by(what, "elsewhere", 7, number=1)
        assert claim.is_lost
    assert follower.exists()


def test_of_many_who_find_one_dead_one_takes_it(tmp_path):
    what = tmp_path / "stage"
    left_by(what, os.uname().nodename, 2**22 + 1)  # no process has that number
    got, together = [], Barrier(8)

    def take() -> None:
        together.wait()
        with claimed(what) as claim:
            got.append(claim)
            together.wait()

    threads = [Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(claim is not None for claim in got) == 1
