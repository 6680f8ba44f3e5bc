"""Every choice of a run, with its reason. A run is named by the hash of these and of its inputs."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Section(BaseModel):
    """A part of the configuration: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class VlmConfig(Section):
    """The vision-language model under study and the language model it came from."""

    path: str = Field(description="folder or hub id that transformers loads as an image-text model")
    revision: str | None = Field(None, description="hub revision; None for a local folder")
    base: str = Field(description="name of the language model the base SAEs were trained on")
    name: str = Field(description="name shown in the atlas")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="one dtype for all stages")
    suffix: str = Field("", description="instruction after each question, a token role of its own")


class SaeConfig(Section):
    """The base dictionaries, one per layer."""

    source: Literal["sae_lens_folder", "sae_lens_release", "llama_scope_folder"] = Field(
        "sae_lens_folder", description="how the files are laid out"
    )
    path: str = Field(
        description="folder with {layer} in it, or a SAELens release name (ids in `sae_id`)"
    )
    sae_id: str = Field("l{layer}r_8x", description="SAELens id of a layer, for a release")
    release: str = Field(description="name of the release shown in the atlas")
    k: int = Field(50, gt=0, description="TopK of the warm start (paper: 50)")
    layers: tuple[int, ...] = Field(min_length=1, description="decoder layers to study, 0-based")
    scales: dict[int, float] | None = Field(
        None, description="s per layer when the files do not state it (never re-estimated)"
    )


class DataConfig(Section):
    """VQAv2 and VSR files in their official formats."""

    vqa_folder: Path = Field(description="v2_*_questions.json, v2_*_annotations.json and images")
    vsr_folder: Path = Field(description="train.jsonl, dev.jsonl, test.jsonl and images/")
    vsr_prompt: str = Field(
        "Is this statement true? {caption}", description="how a VSR caption becomes a question"
    )
    n_adapt: int = Field(50_000, gt=0, description="VQA train pairs that train the SAEs (4.1)")
    n_base: int = Field(50_000, gt=0, description="VQA validation pairs of D_base (4.3)")
    n_vsr: int = Field(100_000, gt=0, description="VSR statements per split at most")
    seed: int = Field(0, description="which pairs are drawn when there are more")


class AdaptConfig(Section):
    """Dictionary adaptation (4.1)."""

    regimes: tuple[Literal["text", "image", "full", "random"], ...] = (
        "text",
        "image",
        "full",
        "random",
    )
    n_tokens: int = Field(1_000_000, gt=0, description="training tokens per regime")
    batch_size: int = Field(4096, gt=0, description="tokens per step")
    learning_rate: float = Field(1e-4, gt=0, description="Adam, in the normalised space")
    layers_per_group: int = Field(8, gt=0, description="layers trained from one forward pass")
    n_held_out: int = Field(4096, gt=0, description="held-out tokens per layer for FVU and L0")
    n_evaluations: int = Field(8, gt=1, description="points of the curve")


class HarvestConfig(Section):
    """The shared pass that gathers energies, firing counts and top samples (4.2, 4.3)."""

    n_control: int = Field(
        5000, gt=0, description="base questions run again on the mean image and without an image"
    )
    skills: tuple[Literal["spatial", "ocr"], ...] = Field(
        ("spatial", "ocr"), description="distribution shifts to measure"
    )


class SelectionConfig(Section):
    """The adapted set (4.2) and the candidates of each skill (4.3)."""

    epsilon: float = Field(1e-3, ge=0, description="E_v above this, normalised units squared")
    cosine_quantile: float = Field(0.25, gt=0, lt=1, description="bottom share of decoder cosine")
    min_delta_p: float = Field(1e-3, gt=0, description="firing gap of a candidate")
    min_odds_ratio: float = Field(1.5, gt=1, description="lower end of the odds ratio's interval")
    min_fired: int = Field(20, gt=0, description="firings in both splits together")
    max_q: float = Field(0.05, gt=0, le=1, description="Benjamini-Hochberg q")


class NeutralConfig(Section):
    """The neutral-prompt filter (4.3)."""

    n_samples: int = Field(10, gt=0, description="top samples whose question is replaced")
    n_reply_tokens: int = Field(64, gt=0, description="of the model's reply, which count too")
    min_share: float = Field(
        0.5, gt=0, le=1, description="share of a neutral prompt's runs it must fire on"
    )


class ExampleConfig(Section):
    """Top-activating samples (5.1)."""

    n_per_source: int = Field(8, gt=0, description="per feature, from VQA and from VSR each")


class InterpConfig(Section):
    """Automatic interpretation (5.1, B)."""

    explainer: Literal["offline", "openai"] = Field("offline", description="who describes")
    model: str = Field("gpt-4o-mini", description="model of the OpenAI-compatible endpoint")
    base_url: str | None = Field(None, description="endpoint; None is the client's default")
    variants: tuple[Literal["RAW", "OVERLAY"], ...] = Field(("RAW", "OVERLAY"))
    n_description: int = Field(5, gt=0, description="top samples shown (paper: 5)")
    n_validation: int = Field(10, gt=0, description="held-out positives, and as many negatives")
    max_features: int = Field(200, gt=0, description="survivors first, then other candidates")


class AttributionConfig(Section):
    """Attribution patching per head and the overlays (5.2, C)."""

    n_samples: int = Field(8, gt=0, description="top VQA samples averaged over")
    max_features: int = Field(50, gt=0, description="survivors with the highest odds ratio")
    n_mean_images: int = Field(500, gt=0, description="images behind the mean embedding")
    n_overlay_heads: int = Field(2, gt=0, description="strongest, weakest and random heads shown")
    n_overlay_samples: int = Field(3, gt=0, description="top samples with attention overlays")


class AblationConfig(Section):
    """Directional ablation with controls (5.3, D)."""

    max_features: int = Field(30, gt=0, description="spatial survivors ablated")
    n_screened: int = Field(
        10, ge=0, description="other candidates ablated: those that cost most on train statements"
    )
    n_screen: int = Field(120, gt=0, description="train statements per relation for screening")
    n_controls: int = Field(5, gt=0, description="matched random features of the same layer")
    n_vqa: int = Field(1000, gt=0, description="VQA yes/no pairs")
    n_bootstrap: int = Field(2000, gt=0, description="image-clustered resamples per interval")


class RunConfig(Section):
    """One version of the atlas."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="start of the run's slug")
    seed: int = Field(0, description="base of every stage's seed")
    device: str = Field("cpu", description="torch device")
    batch_size: int = Field(32, gt=0, description="prompts per forward pass")
    vlm: VlmConfig
    sae: SaeConfig
    data: DataConfig
    adapt: AdaptConfig = AdaptConfig()
    harvest: HarvestConfig = HarvestConfig()
    selection: SelectionConfig = SelectionConfig()
    neutral: NeutralConfig = NeutralConfig()
    example: ExampleConfig = ExampleConfig()
    auto_interp: InterpConfig = InterpConfig()
    head_attribution: AttributionConfig = AttributionConfig()
    ablation: AblationConfig = AblationConfig()


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
        raw = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ValueError(f"{path} holds {type(raw).__name__}, expected a mapping of sections.")
    try:
        return RunConfig.model_validate(_absolute(raw, path.parent))
    except ValidationError as error:
        raise ValueError(_readable(path, error)) from error


def _absolute(raw: dict[str, Any], folder: Path) -> dict[str, Any]:
    data = raw.get("data")
    if isinstance(data, dict):
        for key in ("vqa_folder", "vsr_folder"):
            if isinstance(data.get(key), str):
                data[key] = str((folder / data[key]).resolve())
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
        annotation = model.model_fields[str(part)].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return ", ".join(model.model_fields)


def stable_hash(value: Any) -> str:
    """sha256 of a value's canonical JSON: same content, same hash, on any machine."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def hashed_config(config: RunConfig) -> dict[str, Any]:
    """The configuration without what does not change the numbers: paths, device, base URL."""
    values: dict[str, Any] = config.model_dump(mode="json")
    del values["device"]
    for section, key in (
        ("vlm", "path"),
        ("sae", "path"),
        ("data", "vqa_folder"),
        ("data", "vsr_folder"),
        ("auto_interp", "base_url"),
    ):
        del values[section][key]
    return values
