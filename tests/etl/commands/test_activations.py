"""`feature-atlas activations`: a random model in the place of a published run's."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from sqlalchemy import text
from stage_runs.own_prompt_run import RandomRun, random_run
from typer.testing import CliRunner

from feature_atlas.etl.commands import activations
from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.inputs.pictures import open_image
from feature_atlas.etl.own_prompt.prompt_activations import Asked, prompt_activations

QUESTION = "is the red circle left of the blue square"


@pytest.fixture(scope="module")
def random(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RandomRun]:
    with pytest.MonkeyPatch.context() as patch:
        yield random_run(tmp_path_factory.mktemp("runs") / "random", patch)


@pytest.fixture
def ask(
    loaded_url: str, random: RandomRun, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    monkeypatch.setenv("ATLAS_DATABASE_URL", loaded_url)
    monkeypatch.setattr(activations, "run_study", lambda home, run: random.model.study)

    def ask(*further: str, image: Path = random.pictures[0], question: str = QUESTION) -> Result:
        options = ["--image", str(image), "--question", question, *further]
        return CliRunner().invoke(app, ["activations", *options])

    return ask


def test_rows_are_the_strongest_features_with_their_labels(ask, random, loaded_engine) -> None:
    asked = Asked(open_image(random.pictures[0]), QUESTION, (0, 1), n_features=25)
    found = prompt_activations(random.model, asked)
    with loaded_engine.connect() as connection:
        said = connection.execute(text("SELECT layer, feature, label FROM atlas.feature_label"))
        labels = {(layer, feature): label for layer, feature, label in said}

    rows = list(csv.DictReader(io.StringIO(ask("--format", "csv").stdout)))

    assert [(int(row["layer"]), int(row["feature"])) for row in rows] == [
        (one.layer, one.feature) for one in found.features
    ]
    assert [float(row["activation"]) for row in rows] == [
        max(one.activations) for one in found.features
    ]
    assert [row["label"] for row in rows] == [
        labels.get((one.layer, one.feature), "") for one in found.features
    ]
    assert any(row["label"] for row in rows)
    assert any(row["strongest on"].startswith("patch 14,0 to 28,14") for row in rows)


def test_json_says_all_and_a_table_the_answer(ask, random) -> None:
    found = json.loads(ask("--format", "json", "--layer", "1", "--top", "2").stdout)

    assert found["layers"] == [1]
    assert {one["layer"] for one in found["strongest"]} == {1}
    assert [len(one["tokens"]) == len(one["activations"]) for one in found["features"]]
    assert len(found["features"]) <= 4
    table = ask("--top", "2", "--by", "times_usual").stdout
    assert f"to '{QUESTION}'" in table
    assert "Strongest features" in table


def test_what_cannot_be_asked_is_said(ask, tmp_path) -> None:
    (tmp_path / "text.png").write_text("no picture")

    assert "layer 7 is not studied; expected some of [0, 1]" in ask("--layer", "7").stderr
    assert "missing image" in ask(image=tmp_path / "none.png").stderr
    assert "is not a readable image" in ask(image=tmp_path / "text.png").stderr
    assert "no run 'other'" in ask("--run", "other").stderr
    assert "<image>" in ask(question="is <image> there").stderr
    assert ask("--layer", "7").exit_code == 1


def test_a_model_is_served_for_a_run_that_is_published_and_here(
    loaded_url: str, atlas_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATLAS_DATABASE_URL", loaded_url)

    other = CliRunner().invoke(app, ["serve-model", "--run", "other"])
    away = CliRunner().invoke(app, ["serve-model"])

    assert "no run 'other'" in other.stderr
    assert "a custom prompt needs the folder in which synthetic-" in away.stderr
    assert (other.exit_code, away.exit_code) == (1, 1)
