import pytest
import yaml

from feature_atlas.etl.config.run_config import RunConfig, hashed_config, load_config, stable_hash

MINIMAL = {
    "name": "a-run",
    "vlm": {"path": "/models/vlm", "base": "base", "name": "vlm"},
    "sae": {"path": "/saes/layer_{layer}", "release": "r", "layers": [0, 1]},
    "data": {"vqa_folder": "vqa", "vsr_folder": "vsr"},
}


def write(folder, content):
    file = folder / "run.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return file


def test_relative_data_folders_are_beside_the_file(tmp_path):
    config = load_config(write(tmp_path, MINIMAL))

    assert config.data.vqa_folder == tmp_path / "vqa"


BASE = {"path": "owner/base", "text": "text.jsonl"}


def test_the_text_of_the_base_model_is_beside_the_file(tmp_path):
    config = load_config(write(tmp_path, {**MINIMAL, "base_model": BASE}))

    assert config.base_model.text == tmp_path / "text.jsonl"


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"max_fuv": 1}, r"base_model\.max_fuv: unknown key; expected one of path, .*max_fvu"),
        ({"stated": {3: {"l9": 1}}}, r"stated\.3\.l9: unknown key; expected one of l0, fvu"),
    ],
)
def test_an_unknown_key_of_the_base_model_names_the_known_ones(section, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        load_config(write(tmp_path, {**MINIMAL, "base_model": BASE | section}))


def test_an_unknown_key_names_itself_and_the_known_ones(tmp_path):
    file = write(tmp_path, {**MINIMAL, "adapt": {"n_token": 5}})

    with pytest.raises(
        ValueError, match=r"adapt\.n_token: unknown key; expected one of .*n_tokens"
    ):
        load_config(file)


def test_a_value_out_of_range_is_named_with_what_came(tmp_path):
    file = write(tmp_path, {**MINIMAL, "selection": {"cosine_quantile": 25}})

    with pytest.raises(ValueError, match=r"selection\.cosine_quantile: .*less than 1 .*came: 25"):
        load_config(file)


def test_a_missing_file_and_broken_yaml_say_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="no configuration at"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(ValueError, match="is not YAML"):
        load_config(write(tmp_path, "a: [1"))
    with pytest.raises(ValueError, match="expected a mapping"):
        load_config(write(tmp_path, "- 1"))


@pytest.mark.parametrize(
    ("word", "fault"), [(r"\ud800", "half a character"), (r"\0", "a zero byte")]
)
def test_a_text_that_cannot_be_stored_is_refused_with_its_line(word, fault, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(f'seed: 0\nvlm: {{path: "x{word}"}}\n', encoding="utf-8")

    with pytest.raises(ValueError, match=rf"run.yaml is not YAML: a text holds {fault}[^$]*line 2"):
        load_config(file)


def test_paths_and_device_do_not_change_the_identity_of_a_run():
    here = RunConfig.model_validate({**MINIMAL, "base_model": BASE})
    moved = here.model_copy(
        update={
            "device": "cuda",
            "base_model": here.base_model.model_copy(update={"path": "/else", "text": "/where"}),
            "vlm": here.vlm.model_copy(update={"path": "/elsewhere"}),
            "data": here.data.model_copy(update={"vqa_folder": "/elsewhere"}),
        }
    )

    assert hashed_config(here) == hashed_config(moved)


def test_a_threshold_changes_the_identity_of_a_run():
    here = RunConfig.model_validate(MINIMAL)
    other = RunConfig.model_validate({**MINIMAL, "selection": {"epsilon": 0.1}})

    assert stable_hash(hashed_config(here)) != stable_hash(hashed_config(other))


def test_the_hash_does_not_depend_on_the_order_of_keys():
    assert stable_hash({"a": 1, "b": 2}) == stable_hash({"b": 2, "a": 1})
