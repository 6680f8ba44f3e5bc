"""What explainers get to see, on a study of a few samples without a model."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from bare_run import write_inputs, write_part
from PIL import Image

from feature_atlas.etl.config.causes import EndpointConfig
from feature_atlas.etl.config.run_config import RunConfig, hashed_config
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.run_folder.artifacts import StageOutput, run_stage
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.stages.features.skills import BASE, STATEMENTS
from feature_atlas.etl.stages.meaning import interp_material, silent_samples
from feature_atlas.etl.stages.meaning.interp_material import Album, tokens_of_examples
from feature_atlas.etl.stages.meaning.silent_samples import (
    of_pictures,
    of_relations,
    random_samples,
)

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


@pytest.fixture
def study(tmp_path: Path) -> SimpleNamespace:
    """Two questions and two statements about each of three pictures; their names differ by set."""
    splits: dict[str, list[Sample]] = {BASE: [], STATEMENTS: []}
    for split, samples in splits.items():
        (tmp_path / split).mkdir()
        for number, colour in enumerate(COLOURS):
            file = tmp_path / split / f"{split}-{number}.png"
            Image.new("RGB", (8, 8), colour).save(file)
            for which, relation in enumerate(("above", "below")):
                asked = f"{split} {number} {relation}?"
                known = relation if split == STATEMENTS else None
                samples.append(
                    Sample(split, f"{number}-{which}", file, asked, "yes", relation=known)
                )
    return SimpleNamespace(
        samples=splits, first_number={BASE: 0, STATEMENTS: 6}, config=SimpleNamespace(seed=0)
    )


def test_a_picture_is_known_by_its_content_not_its_name(study: SimpleNamespace) -> None:
    album = Album(study)
    shown = [album.shown(number) for number in range(12)]

    assert [s.image_id for s in shown] == [0, 0, 1, 1, 2, 2] * 2
    assert {s.source for s in shown} == {BASE, STATEMENTS}
    assert all(s.image is None for s in shown)  # opened when it is sent


def test_pictures_are_those_of_their_samples(study: SimpleNamespace) -> None:
    album = Album(study)
    shown = [album.shown(number) for number in (11, 0, 2)]

    pictured = album.pictured(shown, heads=())

    assert [s.image.getpixel((0, 0)) for s in pictured if s.image] == [
        COLOURS[2], COLOURS[0], COLOURS[1]
    ]  # fmt: skip
    assert [s.question for s in pictured] == [s.question for s in shown]


def test_statements_of_a_relation_are_found(study: SimpleNamespace) -> None:
    numbers = of_relations(study, {"below", "nowhere"}, 2)

    assert len(numbers) == 2
    assert set(numbers) < {7, 9, 11}


def test_questions_about_a_features_pictures_are_found_in_both_sets(
    study: SimpleNamespace,
) -> None:
    red, green = study.samples[BASE][0].image, study.samples[STATEMENTS][2].image
    wanted = {Feature(0, 1): [red, green], Feature(0, 2): [red]}

    assert of_pictures(study, wanted, 10) == [0, 1, 8, 9, 0, 1]
    assert len(of_pictures(study, wanted, 1)) == 2


def test_random_samples_come_from_both_sets(
    study: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silent_samples, "N_RANDOM", 3)

    numbers = random_samples(study)

    assert len(numbers) == len(set(numbers)) == 6
    assert sum(number < 6 for number in numbers) == 3
    assert numbers == random_samples(study)


def test_tokens_are_those_of_the_wanted_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read some rows at a time, across files and batches."""
    monkeypatch.setattr(interp_material, "BATCH", 3)
    write_inputs(tmp_path)
    rows = [(layer, f, s) for layer in (0, 1) for f in range(5) for s in (10, 11)]

    def write(output: StageOutput) -> None:
        for part in (rows[:9], rows[9:]):
            write_part(
                output,
                "example",
                {
                    "layer": np.array([layer for layer, _, _ in part], np.int16),
                    "feature": np.array([f for _, f, _ in part], np.int32),
                    "sample": [s for *_, s in part],
                    "tokens": [[f"{layer}.{f}", str(s)] for layer, f, s in part],
                    "activations": [[float(f), 0.5] for _, f, _ in part],
                },
            )

    run_stage(tmp_path, "example", params={}, reads=[], body=write)

    found = tokens_of_examples(SimpleNamespace(run=tmp_path), [Feature(0, 4), Feature(1, 2)])

    assert found == {
        (Feature(layer, f), s): ([f"{layer}.{f}", str(s)], [float(f), 0.5])
        for layer, f, s in rows
        if (layer, f) in ((0, 4), (1, 2))
    }


def test_where_the_endpoint_is_and_what_it_may_cost_is_no_part_of_the_runs_name() -> None:
    sections = {
        "vlm": {"path": "a", "base": "b", "name": "c"},
        "sae": {"path": "a", "release": "b", "layers": [0]},
        "data": {"vqa_folder": "a", "vsr_folder": "b"},
    }

    def hashed(**interp: object) -> dict:
        config = RunConfig.model_validate({"name": "x", **sections, "auto_interp": interp})
        return hashed_config(config)["auto_interp"]

    elsewhere = EndpointConfig(base_url="http://127.0.0.1:1/v1", budget_usd=5, n_at_once=60)
    assert hashed() == hashed(endpoint=elsewhere.model_dump())
    assert hashed() != hashed(grader_model="another")
