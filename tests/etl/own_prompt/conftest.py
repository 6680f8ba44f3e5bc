"""A run of a random model, shared by the tests of a file; nothing of it is changed."""

from collections.abc import Iterator

import pytest
from stage_runs.own_prompt_run import RandomRun, random_run


@pytest.fixture(scope="module")
def random(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RandomRun]:
    """The run, which is not in any database."""
    with pytest.MonkeyPatch.context() as patch:
        yield random_run(tmp_path_factory.mktemp("runs") / "random-12345678", patch)
