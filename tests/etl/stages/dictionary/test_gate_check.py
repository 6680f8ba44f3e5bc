"""The shipped base SAEs pass on text of their language model; SAEs read wrongly stop the run."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from stage_runs.some_layers import of_layers

from feature_atlas.etl.commands.demo import demo_config
from feature_atlas.etl.config.inputs import StatedConfig
from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.inputs.fingerprint import fingerprint_folder
from feature_atlas.etl.inputs.prompt_record import require_same_prompt
from feature_atlas.etl.run_folder.artifacts import read_json, read_rows
from feature_atlas.etl.run_folder.manifest import read_manifest
from feature_atlas.etl.run_folder.manifest_writing import write_run_manifest
from feature_atlas.etl.stages.dictionary.gate_check import places, run_gate_check, stated_quality
from feature_atlas.etl.stages.dictionary.neighbours import better_beside
from feature_atlas.etl.stages.vlm.samples_table import run_samples
from feature_atlas.etl.study import open_run, open_study
from feature_atlas.toy.weights import language_model_path, training_record, vlm_path
from feature_atlas.vlm.token_roles import Role


@pytest.fixture(scope="module")
def config(small_world: Path) -> RunConfig:
    """Two layers of the demo."""
    return of_layers(demo_config(small_world), (1, 4))


@pytest.fixture(scope="module")
def run(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose gate was checked."""
    made = open_run(config, tmp_path_factory.mktemp("home"))
    run_gate_check(made)
    return made


def with_base(config: RunConfig, **changes: object) -> RunConfig:
    return config.model_copy(update={"base_model": config.base_model.model_copy(update=changes)})


def with_saes(config: RunConfig, folder: Path) -> RunConfig:
    """The configuration for a copy of its SAEs, to be spoiled."""
    shutil.copytree(Path(config.sae.path).parent, folder)
    path = str(folder / "layer_{layer}")
    return config.model_copy(update={"sae": config.sae.model_copy(update={"path": path})})


def test_each_layer_has_the_numbers_its_training_stated(run: Path):
    rows = read_rows(run, "gate_check", "gate_check")
    trained = read_json(training_record())["saes"]

    assert [row["layer"] for row in rows] == [1, 4]
    for row in rows:
        stated = trained[str(row["layer"])]
        assert row["stated_fvu"] == stated["fvu"]
        assert row["stated_share_dead"] == stated["n_dead"] / 1024
        assert row["l0"] == pytest.approx(16, abs=0.01)
        assert 0.2 * stated["fvu"] < row["fvu"] < 1.5 * stated["fvu"]
        assert row["share_dead"] < 0.4
        assert row["n_tokens"] > 3000


def test_the_run_names_the_base_model_and_its_text_by_content(run: Path, config: RunConfig):
    run_samples(run)
    manifest = read_manifest(write_run_manifest(run))

    (made,) = (m for m in manifest.measurements if m.stage == "gate_check")
    assert manifest.vlm.base_fingerprint == fingerprint_folder(language_model_path())
    assert made.inputs["base_model"] == manifest.vlm.base_fingerprint
    assert len(made.inputs["base_text"]) == 64


def test_a_prompt_is_kept_token_by_token_with_its_roles(run: Path):
    prompt = read_json(run / "gate_check" / "stage.json")["params"]["prompt"]

    names = [name for name, _ in prompt["roles"]]
    assert names == ["bos", "prefix", "image", "question", "header"]
    assert prompt["roles"][2] == ["image", 16]
    assert sum(n for _, n in prompt["roles"]) == len(prompt["token_ids"])


def test_a_template_that_changes_during_a_run_is_refused(run: Path):
    known = read_json(run / "inputs.json")["prompt"]
    changed = known | {"token_ids": [*known["token_ids"], 1]}

    require_same_prompt(known, dict(known), run)
    with pytest.raises(ValueError, match=r"prompts of this run have changed .*token_ids differ"):
        require_same_prompt(known, changed, run)


def test_another_chat_template_is_another_model(tmp_path: Path):
    copy = Path(shutil.copytree(vlm_path(), tmp_path / "vlm"))
    before = fingerprint_folder(copy)
    (copy / "chat_template.jinja").write_text("{{ bos_token }}")

    assert before == fingerprint_folder(vlm_path())
    assert fingerprint_folder(copy) != before


def test_a_short_text_is_a_warning(config: RunConfig, tmp_path: Path):
    made = open_run(with_base(config, n_gate_tokens=10**6), tmp_path)
    run_gate_check(made)

    (warning,) = read_json(made / "gate_check" / "stage.json")["warnings"]
    assert "held-out tokens of plain text instead of 1000000" in warning


def test_a_run_without_base_model_goes_on_with_a_warning(config: RunConfig, tmp_path: Path):
    made = open_run(config.model_copy(update={"base_model": None}), tmp_path)
    run_gate_check(made)

    (warning,) = read_json(made / "gate_check" / "stage.json")["warnings"]
    assert warning.startswith("no base_model is configured")
    assert read_rows(made, "gate_check", "gate_check") == []


def test_a_scale_that_is_not_the_release_s_stops_the_run_by_name(config: RunConfig, tmp_path: Path):
    spoiled = with_saes(config, tmp_path / "saes")
    file = tmp_path / "saes" / "layer_4" / "cfg.json"
    stated = read_json(file)
    stated["metadata"]["activation_scale"] = 1.0
    file.write_text(json.dumps(stated))
    made = open_run(spoiled, tmp_path)

    with pytest.raises(
        ValueError, match=r"\(layer 4: mean_norm .*fits layer 4: the input is not"
    ) as e:
        run_gate_check(made)
    assert re.search(r"this text gives sae\.scales \{4: 0\.0\d+\}", str(e.value))
    assert not (made / "gate_check" / "stage.json").exists()


def test_the_sae_of_another_layer_stops_the_run(config: RunConfig, tmp_path: Path):
    spoiled = with_saes(config, tmp_path / "saes")
    weights = "sae_weights.safetensors"
    shutil.copy(tmp_path / "saes" / "layer_0" / weights, tmp_path / "saes" / "layer_4" / weights)

    with pytest.raises(ValueError, match=r"layer 4: .*fvu .*None of the usual mistakes"):
        run_gate_check(open_run(spoiled, tmp_path))


def swap(folder: Path, weights: str = "sae_weights.safetensors") -> None:
    """The weights of layers 1 and 2 change places; nothing in the files tells."""
    one, two = folder / "layer_1" / weights, folder / "layer_2" / weights
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(kept)


def test_swapped_layers_are_told_apart_however_wide_the_bounds(config: RunConfig, tmp_path: Path):
    spoiled = with_saes(with_base(config, stated={}, norm_tolerance=9.0), tmp_path / "saes")
    swap(tmp_path / "saes")

    with pytest.raises(
        ValueError, match=r"layer 1 explains the output of layer 2 better.*sae\.path"
    ):
        run_gate_check(open_run(spoiled, tmp_path))


def test_a_stated_scale_of_twice_the_right_one_stops_the_run(config: RunConfig, tmp_path: Path):
    spoiled = with_saes(config, tmp_path / "saes")
    file = tmp_path / "saes" / "layer_4" / "cfg.json"
    stated = read_json(file)
    stated["metadata"]["activation_scale"] *= 2
    file.write_text(json.dumps(stated))

    with pytest.raises(ValueError, match="fits layer 4: the scale is not the release's"):
        run_gate_check(open_run(spoiled, tmp_path))


def test_a_dictionary_that_is_better_beside_its_layer_is_named():
    fvus = {3: {2: 0.5, 3: 0.2, 4: 0.1}, 4: {3: 0.5, 4: 0.2}}

    (said,) = better_beside(fvus, 1.0)

    assert said.startswith("the SAE of layer 3 explains the output of layer 4 better (FVU 0.1)")
    assert better_beside(fvus, 2.0) == []


def test_a_bias_that_the_release_subtracts_stops_the_run_by_name(config: RunConfig, tmp_path: Path):
    spoiled = with_saes(config, tmp_path / "saes")
    for layer in (1, 4):
        file = tmp_path / "saes" / f"layer_{layer}" / "sae_weights.safetensors"
        tensors = load_file(file)
        tensors["b_enc"] = tensors["b_enc"] + tensors["b_dec"] @ tensors["W_enc"]
        save_file(tensors, file)

    with pytest.raises(ValueError, match="fits layer 1: the decoder bias: the release subtracts"):
        run_gate_check(open_run(spoiled, tmp_path))


def test_what_the_configuration_states_comes_before_what_the_files_say(
    config: RunConfig, tmp_path: Path
):
    copied = with_saes(with_base(config, stated={}), tmp_path / "saes")
    file = tmp_path / "saes" / "layer_4" / "cfg.json"
    settings = read_json(file)
    settings["metadata"] |= {"l0": 15.5, "num_dead_features": 256}
    file.write_text(json.dumps(settings))
    study = open_study(open_run(copied, tmp_path))
    given = with_base(config, stated={4: StatedConfig(l0=14.0)}).base_model

    assert stated_quality(study, copied.base_model, 4) == (15.5, None, 0.25)
    assert stated_quality(study, given, 4) == (14.0, None, 0.25)


def test_places_count_from_each_bos():
    roles = torch.tensor(
        [Role.BOS, Role.QUESTION, Role.QUESTION, Role.BOS, Role.BOS, Role.QUESTION]
    )

    assert places(roles).tolist() == [0, 1, 2, 0, 0, 1]
