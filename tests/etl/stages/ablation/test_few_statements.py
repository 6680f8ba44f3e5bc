"""Relations with few statements, as many of VSR's 60 are: rows are missing, and that is said."""

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
from stage_runs.removal_study import SURVIVORS, removal_study

from feature_atlas.etl.run_folder.artifacts import read_rows, read_stage
from feature_atlas.etl.stages.ablation.interventions import LayerInterventions
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.study import Study
from feature_atlas.toy.world import write_world

ONE, ALIKE, NONE, ENOUGH = "relation 0", "relation 1", "relation 2", "relation 3"
"""One test statement; several about one picture; none; two about two pictures."""
N_RELATIONS = 60
ABOUT = {SURVIVORS[0]: ONE, SURVIVORS[1]: ENOUGH, SURVIVORS[2]: ALIKE}
"""The first two are ablated, all three are removed as groups."""


def write_sparse_statements(folder: Path, dice: Random) -> None:
    """60 relations with one to four statements in train and none to three in test."""
    for split, fewest in (("train", 1), ("test", 0)):
        file = folder / f"{split}.jsonl"
        known = [json.loads(line) for line in file.read_text().splitlines()]
        pictures = sorted({row["image"] for row in known})
        n_test = {ONE: 1, ALIKE: 3, NONE: 0, ENOUGH: 2}
        rows = []
        for relation in (f"relation {number}" for number in range(N_RELATIONS)):
            n = dice.randint(fewest, fewest + 3)
            n = n_test.get(relation, n) if split == "test" else n
            for place in range(n):
                picture = pictures[0 if relation == ALIKE else place]
                caption = f"The {split} thing is in {relation} to thing {place}."
                said = {"image": picture, "caption": caption, "relation": relation}
                rows.append(known[0] | said | {"label": place % 2})
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    world = tmp_path_factory.mktemp("sparse-world")
    write_world(world, seed=9, n_train_images=12, n_val_images=12, n_vsr_images=60)
    write_sparse_statements(world / "vsr", Random(4))

    def relation_of(_study: Study, feature: Feature) -> str:
        return ABOUT.get(feature, NONE)

    return removal_study(world, tmp_path_factory.mktemp("sparse-home"), relation_of)


def warnings(study: Study, stage: str) -> list[str]:
    found = read_stage(study.run, stage)
    assert found is not None
    return list(found["warnings"])


def unscored(study: Study, stage: str) -> list[str]:
    """What a stage says of the relations that it left out, each once."""
    found = read_stage(study.run, stage)
    assert found is not None
    start = "nothing was scored on vsr_relation of relation "
    said = [one.removeprefix(start) for one in found["warnings"] if one.startswith(start)]
    assert len(set(said)) == len(said)
    return said


def test_an_ablation_is_scored_where_there_are_two_pictures(study: Study) -> None:
    rows = read_rows(study.run, "ablation", "ablation")
    own = [r for r in rows if r["control_no"] == 0]

    for evaluation in ("vsr_relation", "vsr_other"):
        assert {r["relation"] for r in own if r["evaluation"] == evaluation} == {ENOUGH}
    everywhere = {(r["layer"], r["feature"]) for r in own if r["evaluation"] == "vqa_yes_no"}
    assert everywhere >= set(SURVIVORS[:2])
    reason = "1 questions about 1 pictures, and an interval needs 2 pictures"
    assert unscored(study, "ablation")[0] == f"{ONE!r}: {reason}"


def test_groups_are_scored_where_there_are_two_pictures(study: Study) -> None:
    rows = read_rows(study.run, "group_ablation", "ablation_group")
    scored = {(r["name"], r["evaluation"]) for r in rows if r["kind"] == "relation"}

    assert {name for name, evaluation in scored if evaluation == "vsr_relation"} == {ENOUGH}
    assert {name for name, evaluation in scored if evaluation == "vqa_yes_no"} == set(
        ABOUT.values()
    )
    assert [said.split(", ")[0] for said in unscored(study, "group_ablation")] == [
        f"{ONE!r}: 1 questions about 1 pictures",
        f"{ALIKE!r}: 3 questions about 1 pictures",
    ]


def test_what_is_steered_has_a_row_or_a_warning(study: Study) -> None:
    steered = {r["relation"] for r in read_rows(study.run, "steering", "steering")}

    assert steered <= {ENOUGH}
    assert len(steered) + len(unscored(study, "steering")) == 1


def test_a_feature_that_never_fires_has_no_matched_control(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LayerInterventions, "__init__", lambda self: None)
    layer = LayerInterventions()  # type: ignore[call-arg]
    layer.firing_rate = np.array([0.1, 0.0, 0.1])

    assert layer.matched(1, 2) == []
