"""Settings of the stages that find features: adaptation to examples (paper 4, 5.1)."""

from typing import Any, Literal

from pydantic import Field, model_validator

from feature_atlas.dictionary.products import Products
from feature_atlas.etl.config.inputs import Section, Seed
from feature_atlas.etl.config.skill_files import define_skills, definition_of


class AdaptConfig(Section):
    """Dictionary adaptation (4.1)."""

    regimes: tuple[
        Literal[
            "text", "image", "full", "random", "refit", "language", "instruct", "frozen_random"
        ],
        ...,
    ] = Field(
        ("text", "image", "full", "random", "refit", "language"),
        description="the paper's four and the controls on text alone; refit, the null, needs "
        "`base_model`, and instruct needs `instruct`. frozen_random is not trained: random "
        "directions go through the stages from the harvest to the descriptions, the endpoint "
        "included, once more, so that every score has its row by chance (`chance_score`)",
    )
    seeds: tuple[Seed, ...] = Field(
        (0,),
        min_length=1,
        description="orders of the data, each added to the run's seed, in which the regime text "
        "and its controls, refit and language, train from the same start: three trainings for "
        "each. Later stages read the first; of the others `seed_stability` says what turned again",
    )
    n_tokens: int = Field(1_000_000, gt=0, description="training tokens per regime")
    batch_size: int = Field(4096, gt=0, description="tokens per step")
    learning_rate: float = Field(1e-4, gt=0, description="Adam, in the normalised space")
    learning_rate_scaling: Literal["none", "activation_scale"] = Field(
        "none",
        description="none: one rate for all layers, which in the normalised space all have "
        "residuals of one average norm. activation_scale: times the layer's s over the geometric "
        "mean of s, as one rate on raw residuals would move the decoder. The paper's rule is not "
        "given",
    )
    thresholds: Literal["frozen", "batch_topk"] = Field(
        "frozen",
        description="of dictionaries that are not TopK. frozen: the release's, so that what turns "
        "turns by its weights, and the loss is that of the paper's TopK; how many features fire is "
        "in the curve. batch_topk: SAELens' BatchTopK trainer, for one threshold: as many fire in "
        "the mean as before, and the threshold follows",
    )
    products: Products = Field(
        "tf32",
        description="of training steps, where the device knows TF32 (NVIDIA's from Ampere on): "
        "several times as fast, and its rounding is far below the noise between batches",
    )
    keep: Literal["read", "all"] = Field(
        "read",
        description="read: the dictionaries that later stages read, those of the regime text; the "
        "others leave cosines, norms and curves. all: every regime's; of further seeds none is",
    )
    scratch_gb: float = Field(
        200,
        gt=0,
        description="of residuals kept on disk while the dictionaries of a stream train, at most, "
        "and never more than three quarters of what is free there; what does not fit at once takes "
        "more passes of the model",
    )
    buffer_size: int = Field(16_384, gt=0, description="tokens that wait to be shuffled")
    checkpoint_minutes: float = Field(
        10,
        ge=0,
        description="between two states of a dictionary's training, kept for a killed run; one is "
        "as large as three dictionaries",
    )
    n_held_out: int = Field(
        4096, gt=0, description="held-out tokens per layer and token role for FVU and L0"
    )
    n_evaluations: int = Field(8, gt=1, description="points of the curve")

    @model_validator(mode="after")
    def _check(self) -> "AdaptConfig":
        if "text" not in self.regimes:
            raise ValueError("adapt.regimes must name text, which all later stages read")
        if self.buffer_size < self.batch_size:
            raise ValueError(
                f"adapt.buffer_size {self.buffer_size} is less than one batch of {self.batch_size}"
            )
        if self.n_tokens < self.batch_size:
            raise ValueError(
                f"adapt.n_tokens {self.n_tokens} is less than one batch of {self.batch_size}: "
                "nothing would be trained"
            )
        return self


SKILLS = ("spatial", "location", "ocr", "counting", "colour")
"""The skills that ship, the paper's spatial first."""


class ScalingConfig(Section):
    """Whether features are used less than before they met pictures (beside 4.2)."""

    n_questions: int = Field(
        200,
        ge=0,
        description="base questions read by the VLM and then by the base model; 0: not measured",
    )


class HarvestConfig(Section):
    """The shared pass that gathers energies, firing counts and top samples (4.2, 4.3)."""

    n_control: int = Field(
        5000, gt=0, description="base questions run again on the mean image and without an image"
    )
    encoder: Literal["exact", "certified"] = Field(
        "exact",
        description="exact: float32 product; certified: bfloat16 product and a proof for every "
        "token, the same codes, faster where bfloat16 is fast (GPUs, AVX-512 BF16, AMX)",
    )
    layers_at_once: int | None = Field(
        None,
        gt=0,
        description="layers whose encoders and sums are on the device together, the prompts being "
        "run once for each group; no number depends on it. None: as many as fit",
    )
    n_bootstrap: int = Field(
        200, gt=1, description="image-clustered replicates behind a modality preference's interval"
    )
    skills: tuple[str, ...] = Field(
        SKILLS, description="distribution shifts to measure: names of shipped skills, or YAML files"
    )
    definitions: dict[str, Any] = Field(
        {}, description="what each skill is, filled in from its file: part of the run's hash"
    )
    n_replicates: int = Field(
        100, gt=1, description="image-clustered resamples behind each odds ratio's interval"
    )
    length_caliper: int = Field(
        2, ge=0, description="tokens by which a question and its length-matched control may differ"
    )

    @model_validator(mode="before")
    @classmethod
    def _define(cls, values: Any) -> Any:
        """Put the skills themselves in the place of names and files."""
        if not isinstance(values, dict):
            return values
        skills = define_skills(values.get("skills", SKILLS), values.get("definitions", {}))
        defined = {name: definition_of(skill) for name, skill in skills.items()}
        return {**values, "skills": tuple(skills), "definitions": defined}


class SelectionConfig(Section):
    """The adapted set (4.2) and the candidates of each skill (4.3)."""

    epsilon: float = Field(1e-3, ge=0, description="E_v above this, normalised units squared")
    cosine_quantile: float = Field(0.25, gt=0, lt=1, description="bottom share of decoder cosine")
    max_rotation_q: float = Field(
        0.05, gt=0, le=1, description="Benjamini-Hochberg q of a turn beyond the refit null"
    )
    min_excess_rotation: float = Field(
        0.05,
        ge=0,
        le=2,
        description="how far beyond it, in cosine: with enough tokens any drift is significant",
    )
    language_confidence: float = Field(
        0.95,
        ge=0.5,
        lt=1,
        description="that a turn exceeds the language control's by more than the null's noise",
    )
    min_delta_p: float = Field(1e-3, gt=0, description="firing gap of a candidate")
    min_odds_ratio: float = Field(1.5, gt=1, description="lower end of the odds ratio's interval")
    interval: Literal["bootstrap", "woolf"] = Field(
        "bootstrap",
        description="whose lower end: of resampled images, or of tokens taken as independent, "
        "which those of one question are not",
    )
    min_fired: int = Field(20, gt=0, description="firings in both splits together")
    max_q: float = Field(0.05, gt=0, le=1, description="Benjamini-Hochberg q")


class NeutralConfig(Section):
    """The neutral-prompt filter (4.3)."""

    n_samples: int = Field(
        10, gt=0, le=24, description="top samples whose question is replaced, at most"
    )
    max_error: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        description="how often, at most, fewer samples may give a candidate another verdict than "
        "all would, whatever it fires on. 0: never, what is left out cannot change it; with 0.05 "
        "a fifth less is asked",
    )
    n_reply_tokens: int = Field(64, gt=0, description="of the model's reply, which count too")
    min_share: float = Field(
        0.5, gt=0, le=1, description="share of a neutral prompt's runs it must fire on"
    )
    max_mean_share: float = Field(
        0.5, ge=0, le=1, description="of those, the largest share left on the mean image"
    )


class ExampleConfig(Section):
    """Top-activating samples (5.1)."""

    n_per_source: int = Field(8, gt=0, description="per feature, from VQA and from VSR each")
    n_spread: int = Field(
        5, gt=0, description="as many more, spread evenly over the feature's activations"
    )
    n_random: int = Field(5, gt=0, description="of a feature's samples, drawn at random")
    n_reservoir: int = Field(20, gt=0, description="random samples from which these are taken")
    max_pictured: int = Field(
        100,
        ge=0,
        description="features a layer whose samples also get a map of the picture's patches: "
        "candidates first, then the adapted features with most energy",
    )

    @model_validator(mode="after")
    def _check(self) -> "ExampleConfig":
        for name in ("n_spread", "n_random"):
            if self.n_reservoir < getattr(self, name):
                raise ValueError(
                    f"example.n_reservoir {self.n_reservoir} is less than {name} "
                    f"{getattr(self, name)}, which are taken from it"
                )
        return self
