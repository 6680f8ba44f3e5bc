"""What was used last: never more than fits, but for the newest."""

from feature_atlas.etl.inputs.newest import Newest


def test_the_oldest_make_room_before_the_next_is_read():
    newest, there = Newest[str, bytes](most_bytes=10, n_bytes=len), list[list[str]]()

    def read(value: bytes) -> bytes:
        there.append(list(newest.kept))
        return value

    newest.taken_or_read("a", lambda: read(bytes(4)))
    newest.taken_or_read("b", lambda: read(bytes(4)))
    assert newest.taken_or_read("a", lambda: read(b"not read")) == bytes(4)
    newest.taken_or_read("c", lambda: read(bytes(4)))
    newest.taken_or_read("d", lambda: read(bytes(20)))
    newest.taken_or_read("e", lambda: read(bytes(1)))

    assert there == [[], ["a"], ["a"], ["c"], []], "d takes all, and so will the next"
    assert (list(newest.kept), newest.used) == (["e"], 1)
    newest.clear()
    assert (list(newest.kept), newest.used) == ([], 0)
