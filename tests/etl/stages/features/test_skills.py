"""Skills of a run: from names and files to the questions that are counted."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from feature_atlas.etl.commands.demo import demo_config
from feature_atlas.etl.config.features import HarvestConfig
from feature_atlas.etl.config.run_config import RunConfig, hashed_config, load_config
from feature_atlas.etl.inputs.data_sets import FURTHER, read_data_sets
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.stages.features import shift_counts
from feature_atlas.etl.stages.features.shift_counts import resampled, split_names, splits_of
from feature_atlas.etl.stages.features.skills import (
    BASE,
    STATEMENTS,
    asked_among,
    matched_rules,
    require_usable,
    skills_of,
)
from feature_atlas.features.skill import Skill

WHATSUP = FURTHER["whatsup"]

MINIMAL = {
    "name": "a-run",
    "vlm": {"path": "/models/vlm", "base": "base", "name": "vlm"},
    "sae": {"path": "/saes/layer_{layer}", "release": "r", "layers": [0, 1]},
    "data": {"vqa_folder": "vqa", "vsr_folder": "vsr"},
}


def sample(number: int, question: str, **known: str) -> Sample:
    return Sample(BASE, str(number), Path(f"{number % 3}.png"), question, "yes", **known)


QUESTIONS = [sample(i, q) for i, q in enumerate(["Is it above?", "How many?", "What?", "Below it"])]


def with_skills(folder: Path, **harvest: object) -> RunConfig:
    file = folder / "run.yaml"
    file.write_text(yaml.safe_dump(MINIMAL | {"harvest": harvest}))
    return load_config(file)


def test_a_skill_file_lies_beside_the_configuration_and_is_part_of_the_hash(tmp_path: Path):
    own = tmp_path / "mine.yaml"
    own.write_text("{name: mine, patterns: [cat]}")
    first = with_skills(tmp_path, skills=["spatial", "mine.yaml"])
    own.write_text("{name: mine, patterns: [dog]}")
    second = with_skills(tmp_path, skills=["spatial", "mine.yaml"])

    assert first.harvest.skills == ("spatial", "mine")
    assert first.harvest.definitions["mine"]["patterns"] == ["cat"]
    assert hashed_config(first) != hashed_config(second)
    own.unlink()  # what is kept with the run is enough
    assert RunConfig.model_validate(first.model_dump(mode="json")) == first


def test_the_five_that_ship_are_measured_unless_told_otherwise():
    assert HarvestConfig().skills == ("spatial", "location", "ocr", "counting", "colour")
    assert HarvestConfig(skills=("ocr",)).definitions.keys() == {"ocr"}


def test_a_skill_that_does_not_ship_is_an_error_of_the_configuration(tmp_path: Path):
    with pytest.raises(ValueError, match="skill 'spacial' does not ship"):
        with_skills(tmp_path, skills=["spacial"])


@pytest.mark.parametrize(
    ("skill", "message"),
    [
        (Skill("mine", patterns=("zebra",)), "'mine' matches 0 of 4 questions, fewer than"),
        (Skill("mine", patterns=("is|how|what|below",)), "matches 4 of 4 questions, every one"),
        (Skill("mine", patterns=("above",), min_questions=2), "matches 1 of 4 .* min_questions, 2"),
        (Skill("mine", ids=("1", "77", "88")), "names 2 of 3 ids .* the first is '77'"),
    ],
)
def test_a_filter_that_leaves_nothing_to_compare_is_refused(skill: Skill, message: str):
    with pytest.raises(ValueError, match=message):
        require_usable(skill, QUESTIONS, matched_rules(skill, QUESTIONS))


def test_every_shipped_skill_has_questions_in_the_drawn_world(small_world: Path):
    config = demo_config(small_world).model_copy(update={"harvest": HarvestConfig()})
    base = read_data_sets(config.data).samples[BASE]
    skills = skills_of(SimpleNamespace(config=config))

    found = {name: matched_rules(skill, base) for name, skill in skills.items()}

    for name, skill in skills.items():
        require_usable(skill, base, found[name])
    asked = {name: Counter(s.question.split()[0] for s, r in zip(base, rules, strict=True) if r)
             for name, rules in found.items()}  # fmt: skip
    assert asked["location"].keys() == {"Where"}
    assert asked["counting"].keys() == {"How"}
    assert asked["spatial"].keys() == {"Is"}
    assert asked["colour"].keys() == asked["ocr"].keys() - {"Does"} == {"What"}


class World:
    """What the splits of a run are made of, without model or files."""

    def __init__(self) -> None:
        definitions = {
            "above": {"name": "above", "patterns": ["above"], "min_questions": 1},
            "left": {"name": "left", "dataset": "vsr", "relations": ["left of"]},
            "tables": {"name": "tables", "dataset": "whatsup", "relations": ["on"]},
        }
        harvest = HarvestConfig(skills=tuple(definitions), definitions=definitions)
        self.config = SimpleNamespace(harvest=harvest, seed=0, device="cpu")
        texts = ["a above b", "a is b", "a b", "b above a now", "what a b", "a b c d e f g h"]
        statements = [("a left b", "left of"), ("a over b", "on")]
        self.samples = {
            BASE: [sample(i, text) for i, text in enumerate(texts)],
            STATEMENTS: [sample(i, text, relation=r) for i, (text, r) in enumerate(statements)],
            WHATSUP: [sample(0, "a on b", relation="on"), sample(1, "a under b", relation="under")],
        }
        self.image_numbers = {
            BASE: torch.arange(6) % 3,
            STATEMENTS: torch.tensor([4, 5]),
            WHATSUP: torch.tensor([6, 6]),
        }
        self.vlm = SimpleNamespace(processor=SimpleNamespace(tokenizer=self.tokenize))

    @staticmethod
    def tokenize(texts: list[str], add_special_tokens: bool) -> SimpleNamespace:
        assert not add_special_tokens
        return SimpleNamespace(input_ids=[text.split() for text in texts])


def test_splits_are_the_skills_questions_their_partners_and_everything(
    monkeypatch: pytest.MonkeyPatch,
):
    world = World()
    asks = {"above": BASE, "left": STATEMENTS, "tables": WHATSUP}

    def members(study: World, skill: Skill) -> torch.Tensor:
        of_skill = study.samples[asks.get(skill.name, STATEMENTS)]
        return torch.tensor([rule is not None for rule in matched_rules(skill, of_skill)])

    monkeypatch.setattr(shift_counts, "members_of", members)
    splits = splits_of(world)

    base, statements = splits[BASE], splits[STATEMENTS]
    of = {name: base.member[:, i].nonzero()[:, 0].tolist() for i, name in enumerate(base.names)}
    assert (of["base"], of["above"], of["above.matched"]) == ([0, 1, 2, 3, 4, 5], [0, 3], [0, 3])
    assert len(of["above.control"]) == 2
    assert 5 not in of["above.control"]  # twice as long
    assert not {0, 3} & set(of["above.control"])
    assert statements.names == ["left", "left.matched", "vsr", "vsr.matched"]
    assert statements.member[:, 0].tolist() == [True, False]
    assert statements.member[:, 2].all()
    assert resampled(base.names) == ["base", "above"]
    assert list(split_names(world)) == [BASE, STATEMENTS, WHATSUP]
    assert split_names(world)[BASE] == base.names
    assert splits[WHATSUP].names == ["tables", "tables.matched"]
    assert splits[WHATSUP].member[:, 0].tolist() == [True, False]


def test_a_skill_of_a_bench_that_is_not_there_says_what_to_set():
    with pytest.raises(ValueError, match=r"of the data set gqa, .*set data\.gqa_folder"):
        asked_among({BASE: [], STATEMENTS: []}, "gqa")
