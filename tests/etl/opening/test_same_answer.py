"""What `doctor` finds wrong `build` refuses, in the same sentence, before anything is written."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.commands.demo import demo_config
from feature_atlas.etl.commands.home import configure_libraries
from feature_atlas.toy.weights import language_model_path, sae_path, vlm_path


class Bench:
    """A sound configuration of two layers, and copies of its files that may be damaged."""

    def __init__(self, folder: Path, world: Path) -> None:
        self.folder, self.home, self.file = folder, folder / "home", folder / "run.yaml"
        self.settings = demo_config(world).model_dump(mode="json")
        self.settings["sae"]["layers"] = [0, 1]
        self.settings["base_model"]["stated"] = {}

    def own(self, original: Path, *at: str, name: str = "copy") -> Path:
        """A copy of a folder, named by a setting instead of the original."""
        folder = shutil.copytree(original, self.folder / name)
        section = self.settings
        for key in at[:-1]:
            section = section[key]
        section[at[-1]] = str(folder)
        return folder

    def own_saes(self) -> Path:
        for layer in (0, 1):
            shutil.copytree(sae_path(layer), self.folder / "saes" / f"layer_{layer}")
        self.settings["sae"]["path"] = str(self.folder / "saes" / "layer_{layer}")
        return self.folder / "saes"

    def ask(self, command: str) -> tuple[int, str]:
        """Exit code and everything printed."""
        self.file.write_text(yaml.safe_dump(self.settings))
        result = CliRunner().invoke(app, [command, str(self.file)])
        return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def bench(tmp_path, small_world, fresh_url, atlas_home, monkeypatch):
    configure_libraries(atlas_home)  # else Prefect stays in the folder of the first test
    monkeypatch.setenv("ATLAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ATLAS_DATABASE_URL", fresh_url)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return Bench(tmp_path, small_world)


def without_weight(end):
    def damage(folder: Path) -> None:
        file = folder / "model.safetensors"
        weights = load_file(file)
        save_file({n: w for n, w in weights.items() if not n.endswith(end)}, file)

    return damage


def vlm_without_projector(bench):
    without_weight("linear_2.weight")(bench.own(vlm_path(), "vlm", "path"))


def vlm_without_tokenizer(bench):
    folder = bench.own(vlm_path(), "vlm", "path")
    for name in ("tokenizer.json", "tokenizer_config.json", "processor_config.json"):
        (folder / name).unlink()


def base_model_with_an_adapter(bench):
    folder = bench.own(language_model_path(), "base_model", "path")
    (folder / "adapter_config.json").write_text("{}")


def base_model_of_another_size(bench):
    from random_llama import text_config
    from transformers import LlamaForCausalLM

    folder = bench.own(language_model_path(), "base_model", "path")
    LlamaForCausalLM(text_config()).save_pretrained(folder)


def quantised_instruct_model(bench):
    bench.settings["instruct"] = {"path": ""}
    bench.settings["adapt"]["regimes"] = ["text", "instruct"]
    file = bench.own(language_model_path(), "instruct", "path") / "config.json"
    settings = json.loads(file.read_text()) | {"quantization_config": {"quant_method": "gptq"}}
    file.write_text(json.dumps(settings))


def truncated_sae(bench):
    file = bench.own_saes() / "layer_1" / "sae_weights.safetensors"
    file.write_bytes(file.read_bytes()[:3000])


def sae_of_one_layer_missing(bench):
    shutil.rmtree(bench.own_saes() / "layer_1")


def layer_that_the_model_lacks(bench):
    bench.settings["sae"]["layers"] = [0, 9]


def one_path_for_two_layers(bench):
    bench.settings["sae"]["path"] = str(sae_path(0)).replace("{", "{{")


def text_that_is_empty(bench):
    file = bench.folder / "text.txt"
    file.write_text("\n \n")
    bench.settings["base_model"]["text"] = str(file)


def text_that_is_not_there(bench):
    bench.settings["base_model"]["text"] = str(bench.folder / "none.txt")


def questions_that_are_not_there(bench):
    bench.settings["data"]["vqa_folder"] = str(bench.folder / "nowhere")


def skills_without_the_one_that_is_ablated(bench):
    bench.settings["harvest"] |= {"skills": ["ocr"], "definitions": {}}


def skill_that_nobody_asks_for(bench):
    file = bench.folder / "dragons.yaml"
    words = {"name": "dragons", "dataset": "vqav2", "patterns": [r"\\bdragon\\b"]}
    file.write_text(yaml.safe_dump(words | {"neutral_prompts": ["Describe the picture."]}))
    bench.settings["harvest"] |= {"skills": ["spatial", str(file)], "definitions": {}}


def device_called(name):
    def rename(bench):
        bench.settings["device"] = name

    rename.__name__ = f"device_{name}"
    return rename


def endpoint_without_a_key(bench):
    bench.settings["auto_interp"]["explainer"] = "openai"


BROKEN = [
    (vlm_without_projector, r"VLM: the weights in .* missing are .*projector\.linear_2\.weight"),
    (vlm_without_tokenizer, "processor: "),
    (base_model_with_an_adapter, "base model: .* an adapter that was not merged"),
    (base_model_of_another_size, "base model: .*4 layers of width 32, the VLM's 6 of width 128"),
    (quantised_instruct_model, r"instruct model: .*quantised \(gptq\)"),
    (truncated_sae, r"SAEs: .*layer_1.*cannot be read"),
    (sae_of_one_layer_missing, "SAEs: .*layer_1"),
    (layer_that_the_model_lacks, "SAEs: layer 9 asked for, the model has 6 layers"),
    (one_path_for_two_layers, "is the same for 2 layers"),
    (text_that_is_empty, "text: .*text.txt has no document for the part train"),
    (text_that_is_not_there, "text: no text at .*none.txt"),
    (questions_that_are_not_there, "data: .*nowhere"),
    (skills_without_the_one_that_is_ablated, "skills: .* are ocr: expected spatial among them"),
    (skill_that_nobody_asks_for, "skills: skill 'dragons' matches 0 of "),
    (device_called("gpu"), "device: device is 'gpu': expected cpu, cuda or cuda:N. Here is cpu"),
    (device_called("cuda:7"), "device: device is 'cuda:7', and here is cpu"),
    (device_called("mps"), "device: device is 'mps': mps has no float64.* Here is cpu"),
    (endpoint_without_a_key, "descriptions: .*OPENAI_API_KEY is not set"),
]


def answer(text: str, mark: str) -> str:
    """The sentence after a mark, to the end of what was printed or the next check."""
    return text.split(mark, 1)[1].split(" ok ")[0].split(" FAIL ")[0].strip()


@pytest.mark.parametrize(("breaks", "said"), BROKEN, ids=lambda one: getattr(one, "__name__", ""))
def test_doctor_and_build_say_the_same_and_leave_nothing(breaks, said, bench):
    import re

    breaks(bench)

    doctor_code, doctor = bench.ask("doctor")
    build_code, build = bench.ask("build")

    assert (doctor_code, build_code) == (1, 1)
    sentence = answer(doctor, "FAIL ")
    assert re.search(said, sentence), sentence
    assert sentence.removeprefix("configuration: ") in build
    assert not (bench.home / "runs").exists()


def test_every_fault_is_named_at_once(bench):
    truncated_sae(bench)
    text_that_is_not_there(bench)
    device_called("gpu")(bench)

    _, doctor = bench.ask("doctor")
    _, build = bench.ask("build")

    for text in (doctor, build):
        assert all(name in text for name in ("SAEs: ", "text: no text", "device: device is 'gpu'"))
    assert "tiny-world has 3 faults:" in build


def test_a_sound_configuration_passes_with_its_costs(bench):
    code, doctor = bench.ask("doctor")

    assert code == 0, doctor
    assert "LlavaForConditionalGeneration" in doctor
    assert "run: tiny-world-" in doctor
    assert "adapt-prompts" in doctor
    assert "by arithmetic, not measured" in doctor
