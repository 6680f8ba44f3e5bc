"""Every choice of a run, with its reason. A run is named by the hash of these and of its inputs."""

import hashlib
import json
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from feature_atlas.etl.config.causes import (
    AblationConfig,
    AttributionConfig,
    ExactPatchConfig,
    GroupAblationConfig,
    InterpConfig,
    IntruderConfig,
    KnockoutConfig,
    OutputScoreConfig,
    SpatialCodeConfig,
    SteeringConfig,
    SupervisedConfig,
)
from feature_atlas.etl.config.features import (
    AdaptConfig,
    ExampleConfig,
    HarvestConfig,
    NeutralConfig,
    ScalingConfig,
    SelectionConfig,
)
from feature_atlas.etl.config.inputs import (
    BaseModelConfig,
    DataConfig,
    InstructConfig,
    SaeConfig,
    Section,
    Seed,
    VlmConfig,
)
from feature_atlas.etl.config.skill_files import is_path
from feature_atlas.etl.config.strict_yaml import read_yaml


class RunConfig(Section):
    """One version of the atlas."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=100, description="start of the run's slug"
    )
    seed: Seed = Field(0, description="base of every stage's seed")
    device: str = Field("cpu", description="torch device")
    batch_size: int | None = Field(
        None,
        gt=0,
        description="prompts per forward pass. None: up to 32, by what the device has, and the run "
        "keeps what it began with",
    )
    picture_cache_gb: float = Field(
        20.0,
        ge=0,
        description="disk, in 10^9 bytes, for image features that are asked for again, while the "
        "run is built; the others are computed again, and the numbers are the same",
    )
    vlm: VlmConfig
    sae: SaeConfig
    data: DataConfig
    adapt: AdaptConfig = AdaptConfig()
    latent_scaling: ScalingConfig = ScalingConfig()
    harvest: HarvestConfig = HarvestConfig()
    selection: SelectionConfig = SelectionConfig()
    neutral: NeutralConfig = NeutralConfig()
    example: ExampleConfig = ExampleConfig()
    auto_interp: InterpConfig = InterpConfig()
    intruder: IntruderConfig = IntruderConfig()
    output_score: OutputScoreConfig = OutputScoreConfig()
    head_attribution: AttributionConfig = AttributionConfig()
    exact_patch: ExactPatchConfig = ExactPatchConfig()
    head_knockout: KnockoutConfig = KnockoutConfig()
    ablation: AblationConfig = AblationConfig()
    group_ablation: GroupAblationConfig = GroupAblationConfig()
    steering: SteeringConfig = SteeringConfig()
    supervised: SupervisedConfig = SupervisedConfig()
    spatial_code: SpatialCodeConfig = SpatialCodeConfig()
    base_model: BaseModelConfig | None = None
    instruct: InstructConfig | None = Field(
        None, description="a third model for the regime instruct; None: there is no such control"
    )

    @property
    def order_seeds(self) -> tuple[int, ...]:
        """Of each order of the data that dictionaries train in; later stages read the first's."""
        return tuple(self.seed + seed for seed in self.adapt.seeds)

    @model_validator(mode="after")
    def _name_both(self) -> "RunConfig":
        if ("instruct" in self.adapt.regimes) != (self.instruct is not None):
            raise ValueError(
                "the regime instruct and the section `instruct` go together: name both, or neither"
            )
        return self


class DriftConfig(Section):
    """When a feature counts as changed between two runs, where a measure has no interval.

    Not a part of a run. Odds ratios and removals have 95 % intervals: there disjoint ones count.
    """

    cosine_threshold: float = Field(
        0.1,
        ge=0,
        le=2,
        description="cosines further apart count: a convention, a tenth of the way from kept to "
        "new; nothing says how far chance alone moves a cosine",
    )
    energy_factor: float = Field(
        2.0, ge=1, description="visual energies in a larger ratio count: a convention, a doubling"
    )
    energy_floor: float = Field(
        1e-3,
        ge=0,
        description="added to both energies first, so that nothing next to nothing is no change: "
        "the epsilon below which a feature does not see (4.2)",
    )


DRIFT = DriftConfig()


def load_config(path: Path) -> RunConfig:
    """Read a YAML configuration; relative paths in it are relative to the file."""
    if not path.is_file():
        raise FileNotFoundError(f"no configuration at {path}: pass the path of a YAML file.")
    try:
        raw = read_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ValueError(f"{path} holds {type(raw).__name__}, expected a mapping of sections.")
    try:
        return RunConfig.model_validate(_absolute(raw, path.parent))
    except ValidationError as error:
        raise ValueError(_readable(path, error)) from error


FOLDERS = ("vqa_folder", "vsr_folder", "whatsup_folder", "gqa_folder")
"""Where data sets lie: relative to the file, and no part of what a run is."""


def _absolute(raw: dict[str, Any], folder: Path) -> dict[str, Any]:
    for name, keys in (("data", FOLDERS), ("base_model", ("text",))):
        section = raw.get(name)
        if isinstance(section, dict):
            texts = [key for key in keys if isinstance(section.get(key), str)]
            section |= {key: str((folder / section[key]).resolve()) for key in texts}
    data = raw.get("data")
    if isinstance(data, dict) and isinstance(data.get("instances"), list):
        data["instances"] = [str((folder / str(file)).resolve()) for file in data["instances"]]
    harvest = raw.get("harvest")
    if isinstance(harvest, dict) and isinstance(harvest.get("skills"), list):
        harvest["skills"] = [
            str((folder / entry).resolve()) if is_path(str(entry)) else entry
            for entry in harvest["skills"]
        ]
    return raw


def _readable(path: Path, error: ValidationError) -> str:
    lines = [f"{path} is not a valid configuration:"]
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(f"  {where}: unknown key; expected one of {_known_keys(problem['loc'])}")
        else:
            lines.append(f"  {where}: {problem['msg']} (came: {problem['input']!r})")
    return "\n".join(lines)


def _known_keys(location: tuple[int | str, ...]) -> str:
    model: type[BaseModel] = RunConfig
    for part in location[:-1]:
        if str(part) in model.model_fields:  # not the key of a mapping
            model = _section(model.model_fields[str(part)].annotation) or model
    return ", ".join(model.model_fields)


def _section(annotation: Any) -> type[BaseModel] | None:
    """The section in a type such as `Section | None` or `dict[int, Section]`, if there is one."""
    inside = (_section(argument) for argument in get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((section for section in inside if section is not None), None)


def stable_hash(value: Any) -> str:
    """sha256 of a value's canonical JSON: same content, same hash, on any machine."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def hashed_config(config: RunConfig) -> dict[str, Any]:
    """The configuration without what does not change the numbers: paths, device, memory, disk."""
    values: dict[str, Any] = config.model_dump(mode="json")
    del values["device"], values["picture_cache_gb"]
    for section, key in (
        ("vlm", "path"),
        ("sae", "path"),
        *(("data", folder) for folder in FOLDERS),
        ("data", "instances"),
        ("auto_interp", "endpoint"),
        ("adapt", "keep"),
        ("adapt", "scratch_gb"),
        ("adapt", "checkpoint_minutes"),
        ("harvest", "layers_at_once"),
        ("instruct", "path"),
    ):
        if values[section] is not None:
            del values[section][key]
    if config.base_model is not None:
        del values["base_model"]["path"], values["base_model"]["text"]
    return values
