"""The opening of a run: everything that can be known before a weight is read.

`build` and `doctor` call the same function and print the same sentences. What cannot be looked at,
because what it stands on has a fault, is left out. All faults are found, not only the first.

What has to be computed to be known comes after it, as the first stages of the run: that the
product's activations are the model's own (`forward_check`), and that the dictionaries do on plain
text what their release says (`gate_check`).
"""

from pathlib import Path
from typing import NamedTuple

from transformers import PreTrainedModel, ProcessorMixin

from feature_atlas.etl.at_once import first_prompt
from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.config.skill_files import skill_from
from feature_atlas.etl.identity import Inputs, identify
from feature_atlas.etl.inputs.base_saes import BaseSaes
from feature_atlas.etl.inputs.checkpoints import (
    base_model_folder,
    instruct_folder,
    load_processor,
    load_tokenizer,
    require_same_shape,
    vlm_folder,
)
from feature_atlas.etl.inputs.data_sets import DataSets, read_data_sets, read_objects
from feature_atlas.etl.inputs.device import require_device
from feature_atlas.etl.inputs.skeletons import Skeleton, image_text_skeleton, language_skeleton
from feature_atlas.etl.opening.costs import Work, work_of
from feature_atlas.etl.opening.disk import require_disk, written
from feature_atlas.etl.opening.endpoint import require_endpoint
from feature_atlas.etl.opening.looks import Check, Looks
from feature_atlas.etl.opening.machine import Machine, existing, this_machine
from feature_atlas.etl.opening.memory import require_memory
from feature_atlas.etl.opening.memory_plan import memory_plan
from feature_atlas.etl.opening.sizes import Sizes, sizes_of
from feature_atlas.etl.stages.ablation.ablation import SKILL as ABLATED
from feature_atlas.etl.stages.dictionary.base_text import TextFile
from feature_atlas.etl.stages.dictionary.instruct import require_same_tokens
from feature_atlas.etl.stages.features.skills import asked_among, matched_rules, require_usable
from feature_atlas.vlm.token_roles import PromptBatch, Role


class Opening(NamedTuple):
    """What was found of a configuration."""

    checks: list[Check]
    """Everything looked at, good or not, in order."""
    inputs: Inputs | None
    """The run's name and fingerprints, where all its files can be read."""
    sizes: Sizes | None
    """What its costs follow from, where they could be counted."""
    work: list[Work]
    """Operations by stage; empty without sizes."""
    machine: Machine | None
    """What it would run on; None where the device is not there."""

    @property
    def seconds(self) -> float:
        """Of all stages, by arithmetic; 0 where it is not known."""
        return sum(one.seconds(self.machine) for one in self.work) if self.machine else 0.0


class Files(NamedTuple):
    """What could be read of a run's files; None where there is a fault."""

    skeleton: Skeleton | None
    data: DataSets | None
    prompt: PromptBatch | None
    """Of the first question."""
    d_sae: int | None
    inputs: Inputs | None


def examine(config: RunConfig, home: Path) -> Opening:
    """Look at everything that a run of this configuration needs."""
    looks = Looks()
    files = _files(looks, config)
    device = looks.at("device", lambda: require_device(config.device, config.vlm.dtype), str)
    looks.at("descriptions", lambda: require_endpoint(config.auto_interp, config.intruder), str)
    sizes = _sizes(config, files)
    machine = this_machine(home, config.device, config.vlm.dtype) if device is not None else None
    work = [] if sizes is None else work_of(config, sizes)
    if sizes is not None and machine is not None:
        needed, place = written(config, sizes), str(existing(home))
        looks.at("disk", lambda: require_disk(needed, machine.free_disk, place), str)
        plan = memory_plan(config, sizes, machine.device_memory)
        looks.at("memory", lambda: require_memory(plan, config.device, machine), str)
    return Opening(looks.checks, files.inputs, sizes, work, machine)


def _files(looks: Looks, config: RunConfig) -> Files:
    vlm = config.vlm
    skeleton = looks.at(
        "VLM", lambda: image_text_skeleton(vlm_folder(vlm)), lambda s: _model(s, vlm.dtype)
    )
    processor = looks.at("processor", lambda: load_processor(vlm), lambda p: type(p).__name__)
    data = looks.at("data", lambda: _data_sets(config), _counts)
    if data is not None:
        looks.at("skills", lambda: _questions_by_skill(config, data), _counted)
    prompt = d_sae = inputs = None
    if processor is not None and data is not None:
        prompt = looks.at("prompt", lambda: first_prompt(config, processor, data), _roles)
    if skeleton is not None:
        model = skeleton.model
        d_sae = looks.at(
            "SAEs",
            lambda: BaseSaes(config.sae, model, "cpu").facts.d_sae,
            _features,
        )
        _language_models(looks, config, model, processor, data)
    if looks.is_good:
        inputs = looks.at("run", lambda: identify(config, data), lambda found: found.slug)
    return Files(skeleton, data, prompt, d_sae, inputs)


def _language_models(
    looks: Looks,
    config: RunConfig,
    vlm: PreTrainedModel,
    processor: ProcessorMixin | None,
    data: DataSets | None,
) -> None:
    base, instruct, dtype = config.base_model, config.instruct, config.vlm.dtype
    if base is not None:
        looks.at(
            "base model",
            lambda: _language_model(base_model_folder(base), vlm, "base_model.path"),
            lambda found: _model(found, dtype),
        )
        looks.at("text", lambda: TextFile(base.text), _documents)
    if instruct is not None:
        folder = looks.at("instruct model", lambda: instruct_folder(instruct), str)
        if folder is not None:
            looks.at(
                "instruct model",
                lambda: _language_model(folder, vlm, "instruct.path"),
                lambda found: _model(found, dtype),
            )
            if processor is not None and data is not None:
                asked = [sample.question for sample in data.samples["vqav2-train"]]
                looks.at(
                    "instruct tokens",
                    lambda: require_same_tokens(
                        folder, load_tokenizer(folder), processor.tokenizer, asked
                    ),
                    lambda _: "those of the VLM",
                )


def _language_model(folder: Path, vlm: PreTrainedModel, setting: str) -> Skeleton:
    found = language_skeleton(folder, setting)
    require_same_shape(found.model, vlm, folder, setting)
    load_tokenizer(folder)
    return found


def _data_sets(config: RunConfig) -> DataSets:
    found = read_data_sets(config.data)
    read_objects(config.data.instances, found)
    return found


def _questions_by_skill(config: RunConfig, data: DataSets) -> dict[str, int]:
    """How many questions ask for each skill; an error where a stage could not go on."""
    harvest, found = config.harvest, {}
    if ABLATED not in harvest.skills:
        raise ValueError(
            f"harvest.skills are {', '.join(harvest.skills)}: expected {ABLATED} among them, whose "
            "features are ablated."
        )
    for name in harvest.skills:
        skill = skill_from(harvest.definitions[name], f"skill {name!r}")
        samples = asked_among(data.samples, skill.dataset)
        rules = matched_rules(skill, samples)
        require_usable(skill, samples, rules)
        found[name] = sum(rule is not None for rule in rules)
    return found


def _sizes(config: RunConfig, files: Files) -> Sizes | None:
    skeleton, data, prompt, d_sae, _ = files
    if skeleton is None or data is None or prompt is None or d_sae is None:
        return None
    return sizes_of(config, skeleton.model, d_sae, prompt, data)


def _model(found: Skeleton, dtype: str) -> str:
    millions = sum(weight.numel() for weight in found.model.parameters()) / 1e6
    stored = " and ".join(found.stored)
    said = f"{type(found.model).__name__}, {millions:,.1f} million weights in {stored}, all there"
    is_rounded = "float64" in found.stored or (
        dtype == "bfloat16" and set(found.stored) != {"bfloat16"}
    )
    return f"{said}; run in {dtype}, {'which rounds them' if is_rounded else 'exact'}"


def _features(d_sae: int) -> str:
    return f"{d_sae:,} features in each layer"


def _counts(data: DataSets) -> str:
    said = ", ".join(f"{len(samples):,} of {name}" for name, samples in data.samples.items())
    return "; ".join([said, *data.warnings])


def _counted(questions: dict[str, int]) -> str:
    return ", ".join(f"{n:,} questions of {name}" for name, n in questions.items())


def _roles(prompt: PromptBatch) -> str:
    roles = prompt.roles[0].tolist()
    counted = {Role(role).name.lower(): roles.count(role) for role in dict.fromkeys(roles)}
    return ", ".join(f"{n} {name}" for name, n in counted.items())


def _documents(text: TextFile) -> str:
    n_train, n_held_out = (len(text.places[part]) for part in ("train", "held_out"))
    return f"{n_train:,} documents to train on, {n_held_out:,} held out"
