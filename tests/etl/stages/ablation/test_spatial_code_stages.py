"""The code of places on a small study: places are the world's own, made of train alone."""

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from stage_runs.plain_margins import hidden_states, plain_margins
from stage_runs.removal_study import RELATION

import feature_atlas.etl.stages.ablation.spatial_code as stage
from feature_atlas.ablation.intervention import span_removal
from feature_atlas.ablation.spatial_code import position_code
from feature_atlas.dictionary.sae import unit_directions
from feature_atlas.etl.inputs.data_sets import read_objects
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.run_folder.artifacts import StageOutput, Warnings, read_rows
from feature_atlas.etl.stages.ablation.evaluation_sets import labels_of, statements_of
from feature_atlas.etl.study import Study
from feature_atlas.vlm.name_tokens import name_tokens
from feature_atlas.vlm.token_roles import PromptBatch, Role


class Few:
    """A study of some training statements alone."""

    def __init__(self, study: Study, kept: list[Sample]) -> None:
        self.study, self.samples = study, {"vsr-train": kept}

    def __getattr__(self, name: str) -> object:
        return getattr(self.study, name)


def objects_of(study: Study, true: bool) -> tuple[list[Sample], stage.Located]:
    """Statements "left of" that name both of their objects, and these."""
    instances = read_objects(study.config.data.instances, study.data_sets)
    assert instances is not None
    kept = [
        s for s in study.samples["vsr-train"]
        if (s.relation, s.answer == "yes") == (RELATION, true)
        and len(instances.named(s) or []) == 2
    ]  # fmt: skip
    few = cast(Study, Few(study, kept))
    found = stage.located(few, "vsr-train", instances)
    assert found is not None
    return kept, found


def test_places_are_those_of_the_worlds_own_objects(study: Study) -> None:
    """Of a true statement "left of" the first object has the smaller x, of a false one not."""
    for is_true in (True, False):
        kept, found = objects_of(study, is_true)

        assert len(kept) > 3
        assert found.order.tolist() == [0, 1] * len(kept)
        assert ((found.p[0::2, 0] < found.p[1::2, 0]) == is_true).all()
        assert ((found.p > 0) & (found.p < 1)).all()


def test_a_names_residual_is_that_of_its_last_token(study: Study) -> None:
    kept, found = objects_of(study, true=True)
    number = study.first_number["vsr-train"] + study.samples["vsr-train"].index(kept[0])

    layers, ids, is_text = hidden_states(study, number)

    tokens = [study.vlm.processor.tokenizer.decode([i]).strip() for i in ids.tolist()]
    last_word = kept[0].question.split(" is ")[0].split()[-1]  # "the black star is left of"
    [place] = [i for i, token in enumerate(tokens) if is_text[i] and token == last_word][:1]
    for layer in (1, 3):
        np.testing.assert_allclose(found.h[layer][0], layers[layer][place], atol=1e-4)


def test_the_code_is_made_of_training_statements(study: Study) -> None:
    rows = read_rows(study.run, "spatial_code", "spatial_code")
    train = stage.locate(study.run, "vsr-train")
    assert train is not None

    assert [r["layer"] for r in rows] == study.layers
    assert rows[0]["n_objects_train"] == len(train.p)
    for layer in study.layers:
        codes = stage.read_codes(study, layer)
        assert codes is not None
        assert codes.shape[:2] == (2, 2)
        mine = position_code(train.at(layer))
        np.testing.assert_allclose(np.abs(np.linalg.det(mine @ codes[0].T)), 1, atol=1e-6)
        assert abs(np.linalg.det(mine @ codes[1].T)) < 1 - 1e-3


def test_both_is_a_plain_hooked_pass_without_feature_and_code(study: Study) -> None:
    rows = read_rows(study.run, "spatial_code_ablation", "spatial_code_ablation")
    of = {(r["layer"], r["feature"]) for r in rows}
    assert len(of) == 2
    layer, feature = min(of)
    mine = {
        r["removed"]: r for r in rows
        if (r["layer"], r["feature"], r["control_no"]) == (layer, feature, 0)
    }  # fmt: skip
    assert list(mine) == ["feature", "outside", "code", "both"]
    [ablated] = [
        r for r in read_rows(study.run, "ablation", "ablation")
        if (r["layer"], r["feature"], r["control_no"]) == (layer, feature, 0)
        and (r["evaluation"], r["intervention"]) == ("vsr_relation", "directional")
    ]  # fmt: skip
    assert mine["feature"]["delta_accuracy"] == ablated["delta_accuracy"]
    codes = stage.read_codes(study, layer)
    assert codes is not None
    v = unit_directions(study.base[layer])[feature]
    assert mine["both"]["code_share"] == pytest.approx(
        float(np.square(codes[0] @ v.double().numpy()).sum())
    )
    edit = span_removal(torch.cat([torch.from_numpy(codes[0]).float(), v[None]]))
    evaluation = statements_of(study, RELATION, ["vsr-test"])
    after = plain_margins(study, evaluation.numbers, {layer: edit})
    right = (after > 0).numpy() == labels_of(study, evaluation)
    assert mine["both"]["accuracy_after"] == pytest.approx(right.mean())


class Letters:
    """A tokenizer of one token a letter."""

    def decode(self, ids: list[int], **_: object) -> str:
        return "".join(map(chr, ids))


def prompt(question: str) -> PromptBatch:
    ids = torch.tensor([[0, *map(ord, question), 0]])
    roles = torch.full_like(ids, Role.QUESTION)
    roles[:, 0], roles[:, -1] = Role.PREFIX, Role.HEADER
    return PromptBatch(ids, torch.ones_like(ids), roles)


def test_a_name_ends_with_its_last_letter_and_not_inside_a_longer_one() -> None:
    question = "Is the Hot dog under a dog?"

    found = name_tokens(Letters(), prompt(question), 0, ["dog", "hot dog", "cat"])  # type: ignore[arg-type]

    assert found == [("hot dog", 1 + question.index("t dog") + 4), ("dog", len(question) - 1)]
    assert name_tokens(Letters(), prompt("Is it?"), 0, []) == []  # type: ignore[arg-type]


def test_without_instances_it_is_said_why_there_is_no_code(study: Study) -> None:
    data = study.config.data.model_copy(update={"instances": ()})
    blind = SimpleNamespace(config=study.config.model_copy(update={"data": data}))
    said = Warnings()

    stage._write(cast(StageOutput, said), cast(Study, blind))

    [warning] = said.warnings
    assert warning == "no data.instances: no place of a named object is known (spatial_code)"
