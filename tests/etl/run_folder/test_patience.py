from threading import Timer

import pytest
from bare_run import write_inputs

from feature_atlas.etl.run_folder.artifacts import run_stage
from feature_atlas.etl.run_folder.patience import (
    NotDone,
    Nothing,
    build_together,
    with_patience,
)


@pytest.fixture
def run(tmp_path):
    write_inputs(tmp_path)
    return tmp_path


def stages_of(run, ran, **reads):
    """A stage for each name, with those that it reads."""

    def all_of_them(stage):
        for name, needed in reads.items():

            def body(run, *, name=name, needed=needed):
                return run_stage(
                    run,
                    name,
                    params={},
                    reads=list(needed),
                    body=lambda output: ran.append(name),
                )

            body.__name__ = f"run_{name}"
            stage(body, run)

    return all_of_them


def test_a_stage_that_another_process_has_is_passed_over_with_all_that_need_it(run, capsys):
    ran: list[str] = []
    claim = run / "first.claim-0"
    claim.write_text("elsewhere\n1\nsomebody")
    Timer(1.5, claim.unlink).start()

    build_together(stages_of(run, ran, first=(), second=("first",), third=(), fourth=("third",)))

    assert ran == ["third", "fourth", "first", "second"]
    said = " ".join(capsys.readouterr().out.split())
    assert said == "waiting for stage first, which process 1 on elsewhere has"


def test_what_reads_an_older_result_is_not_run_while_that_is_done_anew(run):
    ran: list[str] = []
    stages_of(run, ran, first=())(lambda body, *of: body(*of))
    (run / "first" / "stage.json").write_text('{"key": "older", "files": [], "seconds": 1}')
    claim = run / "first.claim-0"
    claim.write_text("elsewhere\n1\nsomebody")
    Timer(1.5, claim.unlink).start()

    build_together(stages_of(run, ran, first=(), second=("first",)))

    assert ran == ["first", "first", "second"]


def test_what_nobody_will_do_is_an_error(run):
    with pytest.raises(NotDone, match="has not finished"):
        build_together(stages_of(run, [], first=("unknown",)))


def test_where_nothing_shall_run_every_stage_must_be_done(run):
    ran: list[str] = []
    stages = stages_of(run, ran, first=(), second=("first",))
    stages_of(run, ran, first=())(lambda body, *of: body(*of))

    with with_patience(Nothing()), pytest.raises(NotDone, match="stage second has not finished"):
        stages(lambda body, *of: body(*of))

    assert ran == ["first"]
