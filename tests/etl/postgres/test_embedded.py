"""The embedded server: started on demand, shared, stopped after its last user."""

import subprocess
import sys
import time
from pathlib import Path

import psycopg
from embedded_server import FAST, answer, kill_server, wait_until_stopped

from feature_atlas.etl.postgres.embedded import EmbeddedPostgres


def test_it_starts_in_a_new_home_and_stops_when_released(tmp_path: Path):
    home = tmp_path / "new"
    server = EmbeddedPostgres(home, settings=FAST)

    url = server.start()

    assert answer(url, "SELECT current_database()") == "atlas"
    assert (home / "postgres" / "url").read_text().strip() == url
    server.release()
    assert wait_until_stopped(home)
    assert not (home / "postgres" / "url").exists()


def test_two_users_share_one_server_and_the_last_one_out_stops_it(home: Path):
    first, second = EmbeddedPostgres(home, settings=FAST), EmbeddedPostgres(home)
    url = first.start()
    assert second.start() == url

    first.release()
    time.sleep(0.5)
    assert answer(url) == 1

    second.release()
    assert wait_until_stopped(home)


USER = """
import sys, time
from pathlib import Path
from feature_atlas.etl.postgres.embedded import EmbeddedPostgres
print(EmbeddedPostgres(Path(sys.argv[1])).start(), flush=True)
time.sleep(60)
"""


def test_a_killed_user_does_not_leave_the_server_behind(home: Path):
    user = subprocess.Popen(
        [sys.executable, "-c", USER, str(home)], stdout=subprocess.PIPE, text=True
    )
    assert user.stdout is not None
    assert answer(user.stdout.readline().strip()) == 1

    user.kill()
    user.wait()

    assert wait_until_stopped(home)


def test_what_was_written_is_there_after_a_restart(home: Path):
    server = EmbeddedPostgres(home, settings=FAST)
    with psycopg.connect(server.start()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS number")

    assert server.stop()
    assert not server.stop()

    assert answer(server.start(), "SELECT number FROM kept") == 42


def test_a_killed_server_is_noticed_and_started_again(home: Path):
    server = EmbeddedPostgres(home)
    with psycopg.connect(server.start()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS number")
    kill_server(home)

    assert answer(server.start(), "SELECT number FROM kept") == 42


def test_a_process_id_that_now_belongs_to_another_program_is_no_obstacle(home: Path):
    server = EmbeddedPostgres(home)
    server.start()
    kill_server(home)
    pid_file = home / "postgres" / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    other = subprocess.Popen(["sleep", "60"])
    pid_file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")

    try:
        assert answer(server.start()) == 1
    finally:
        other.kill()
        other.wait()
