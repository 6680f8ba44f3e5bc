"""Settings of the stages that explain features: descriptions, heads, removals (paper 5)."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from feature_atlas.etl.config.inputs import Section
from feature_atlas.heads.objective_positions import Positions
from feature_atlas.meaning.endpoint_address import require_base_url

Price = Annotated[float, Field(ge=0)]
Corruption = Literal["mean", "global_mean", "resample", "opposite"]


def _as_list(said: object) -> object:
    """One word is a list of it, as configurations of before said it."""
    return [said] if isinstance(said, str) else said


class EndpointConfig(Section):
    """An OpenAI-compatible endpoint: where it is and what it may cost. Changes no number."""

    base_url: str | None = Field(None, description="None is OpenAI's own")
    n_at_once: int = Field(4, gt=0, le=64, description="requests that are out at the same time")
    requests_per_minute: float | None = Field(None, gt=0, description="None: as fast as it goes")
    tokens_per_minute: float | None = Field(None, gt=0, description="prompts and replies together")
    prices: dict[str, tuple[Price, Price]] = Field(
        {}, description="US dollars per million prompt tokens and reply tokens, by model"
    )
    budget_usd: float | None = Field(None, gt=0, description="the stage stops before it is passed")
    budget_tokens: int | None = Field(None, gt=0, description="the same in tokens")
    tokens_per_picture: int = Field(
        2833, gt=0, description="for estimates: gpt-4o-mini at low detail; gpt-4o bills 85"
    )
    timeout_s: float = Field(60.0, gt=0, description="seconds per attempt")
    max_retries: int = Field(6, ge=0, description="on 429, 5xx, time-outs, lost connections")

    @field_validator("base_url")
    @classmethod
    def _can_be_reached(cls, value: str | None) -> str | None:
        if value is not None:
            require_base_url(value, "base_url")
        return value


class InterpConfig(Section):
    """Automatic interpretation (5.1, B)."""

    explainer: Literal["offline", "openai"] = Field("offline", description="who describes")
    model: str = Field("gpt-4o-mini", description="model of the OpenAI-compatible endpoint")
    grader_model: str | None = Field(
        None, description="another model that grades the descriptions; None: the same (paper)"
    )
    variants: tuple[Literal["RAW", "OVERLAY", "OUTPUT"], ...] = Field(
        ("RAW", "OVERLAY"),
        min_length=1,
        description="what is described: plain samples, samples under the attention of heads (not "
        "offline), or the tokens that the feature writes",
    )
    detail: Literal["low", "high"] = Field("low", description="how closely pictures are looked at")
    n_description: int = Field(5, gt=0, description="top samples shown (paper: 5)")
    n_validation: int = Field(10, gt=0, description="held-out positives, and as many negatives")
    max_features: int = Field(200, gt=0, description="survivors first, then other candidates")
    endpoint: EndpointConfig = EndpointConfig()


class IntruderConfig(Section):
    """Intruder detection: do a feature's samples belong together (beside 5.1)."""

    n_trials: int = Field(
        0, ge=0, description="times five samples of a feature are shown; 0: not measured"
    )
    judge: Literal["words", "embedding", "openai"] = Field(
        "words",
        description="who finds the intruder: equal words, the model of ATLAS_EMBEDDING_MODEL, or "
        "the grader at auto_interp.endpoint, which sees the pictures",
    )
    max_features: int = Field(200, gt=0, description="as for auto_interp, in the same order")
    n_beside: int = Field(
        10, gt=0, description="features of nearest firing rate from whose samples intruders come"
    )


class OutputScoreConfig(Section):
    """Adding what features write: does the model say it (beside 5.1 and 5.3)."""

    n_pictures: int = Field(
        0, ge=0, description="asked about in every neutral prompt of the skills; 0: not measured"
    )
    max_features: int = Field(100, gt=0, description="as for auto_interp, in the same order")
    alpha: float = Field(
        4.0,
        gt=0,
        description="what is added, in the feature's mean activation where it fires: the largest "
        "strength of steering",
    )
    n_controls: int = Field(
        5, ge=0, description="matched features whose directions are added in the same length"
    )


class AttributionConfig(Section):
    """Attribution patching per head and the overlays (5.2, C)."""

    n_samples: int = Field(8, gt=0, description="top VQA samples averaged over")
    max_features: int = Field(50, gt=0, description="survivors with the highest odds ratio")
    rules: tuple[Literal["relp", "ig", "grad_drop"], ...] = Field(
        ("relp", "ig"),
        description="estimates beside A, B and the QK fix: relevance patching costs as much again, "
        "integrated gradients n_steps times as much, GradDrop as often as a feature has layers "
        "below it",
    )
    n_steps: int = Field(5, gt=0, description="of integrated gradients, between both pictures")
    n_paraphrases: int = Field(
        0,
        ge=0,
        description="in how many other wordings, which the skills give, each question is asked "
        "again under the first corruption: do rankings of heads hold? Each costs as much again",
    )
    n_mean_images: int = Field(500, gt=0, description="images behind the mean embedding")
    corruption: Annotated[tuple[Corruption, ...], BeforeValidator(_as_list)] = Field(
        ("mean",),
        min_length=1,
        description="what replaces a picture: mean, the mean embedding of each patch; global_mean, "
        "that of all patches; resample, any other sample's picture, which is less off the "
        "distribution; opposite, one of which the answer is another. Each costs as much again; "
        "heads are chosen by the first",
    )
    positions: Positions = Field(
        "text",
        description="where a feature's projection is summed: text after the image, question, last "
        "token, or the text token on which its encoder finds it most",
    )
    direction: Literal["adapted", "base"] = Field(
        "adapted", description="whose decoder row the projection is on"
    )
    samples_at_once: int | None = Field(
        None,
        gt=0,
        description="samples whose clean and corrupt run, with all that gradients need, are in "
        "memory together: by estimate 20 GB a sample for 8B parameters in bfloat16. None: up to "
        "4, by what the device has, and the run keeps what it began with",
    )
    n_overlay_heads: int = Field(2, gt=0, description="strongest, weakest and random heads shown")
    n_overlay_samples: int = Field(3, gt=0, description="top samples with attention overlays")


class ExactPatchConfig(Section):
    """Heads swapped for real, the referee of attribution patching (5.2, C)."""

    n_top: int = Field(10, gt=0, description="strongest heads of each method, per feature")
    n_random: int = Field(10, ge=0, description="others at random: how many did screening miss")
    n_samples: int = Field(8, gt=2, description="top samples; a t test over them decides")
    n_full_features: int = Field(
        10, ge=0, description="features of which every head is swapped: the report's sample"
    )
    parts: tuple[Literal["qk", "v", "z"], ...] = Field(
        ("qk", "z"),
        min_length=1,
        description="swapped one after another: queries and keys, values, or the whole output",
    )
    max_q: float = Field(0.05, gt=0, lt=1, description="Benjamini-Hochberg q of a causal head")
    n_bootstrap: int = Field(
        500, gt=1, description="resamples of the samples, for how well estimates agree"
    )


class KnockoutConfig(Section):
    """The strongest heads of a feature taken from the corrupt run together (5.2, C; 5.3)."""

    max_features: int = Field(10, ge=0, description="attributed features with a relation")
    n_heads: int = Field(5, gt=0, description="strongest heads knocked out together")
    n_controls: int = Field(5, ge=0, description="random sets of the same attention to images")
    parts: tuple[Literal["qk", "z"], ...] = Field(
        ("qk", "z"), min_length=1, description="what is taken: queries and keys, or the output"
    )


class AblationConfig(Section):
    """Directional ablation with controls (5.3, D)."""

    max_features: int = Field(30, gt=0, description="spatial survivors ablated")
    n_screened: int = Field(
        10, ge=0, description="other candidates ablated: those that cost most on train statements"
    )
    n_screen: int = Field(120, gt=0, description="train statements per relation for screening")
    n_controls: int = Field(
        20, gt=0, description="features matched on layer, firing rate and projection"
    )
    n_random_controls: int = Field(5, ge=0, description="any features of the layer: the paper's")
    n_direction_controls: int = Field(
        5, ge=0, description="random directions, as much variance removed"
    )
    n_other: int = Field(300, gt=0, description="statements of other relations: specificity")
    n_vqa: int = Field(1000, gt=0, description="VQA yes/no pairs")
    n_further: int = Field(
        400, gt=0, description="questions of each further bench: What'sUp and GQA, if configured"
    )
    interventions: tuple[
        Literal["mean_projection", "feature_subtraction", "base_direction"], ...
    ] = Field(
        ("mean_projection", "feature_subtraction", "base_direction"),
        description="beside the paper's directional one, for the features that matter most",
    )
    n_compared: int = Field(
        5, ge=0, description="features of the other interventions, by what they cost on train"
    )
    replicate_paper: bool = Field(
        True, description="score on all statements of the relation too, as the paper did"
    )
    n_bootstrap: int = Field(2000, gt=0, description="image-clustered resamples per interval")


class GroupAblationConfig(Section):
    """Removal of several spatial survivors at once, few and many (5.3)."""

    by: tuple[Literal["layer", "relation"], ...] = Field(
        ("layer", "relation"),
        min_length=1,
        description="survivors of one layer, and those of one relation",
    )
    n_statements: int = Field(200, gt=0, description="test statements per evaluation")
    n_vqa: int = Field(200, gt=0, description="VQA yes/no pairs")
    n_controls: int = Field(2, ge=0, description="sets of as many matched features")
    max_features: int = Field(64, gt=0, description="largest number of features removed together")


class SteeringConfig(Section):
    """Adding a feature's direction, the mirror of removing it (5.3)."""

    max_features: int = Field(8, ge=0, description="features that cost most on train statements")
    alphas: tuple[float, ...] = Field(
        (-1.0, 1.0, 2.0, 4.0),
        min_length=1,
        description="strengths, in the feature's mean activation where it fires",
    )
    n_statements: int = Field(200, gt=0, description="test statements per relation")


class SupervisedConfig(Section):
    """Directions that labels find, removed and added as features are (beside 5.3)."""

    max_relations: int = Field(
        0,
        ge=0,
        description="relations of the removed features, those first whose feature costs most on "
        "train statements; 0: not measured",
    )
    n_train: int = Field(
        300, gt=3, description="train statements of the relation, and as many of others"
    )
    n_shuffled: int = Field(5, ge=0, description="controls found from shuffled labels")


class SpatialCodeConfig(Section):
    """How much of a feature is a linear code of where named objects are (beside 5.3)."""

    max_features: int = Field(
        0,
        ge=0,
        description="removed features, those first that cost most on train statements; needs "
        "data.instances; 0: not measured",
    )
    n_statements: int = Field(500, gt=1, description="train statements, and as many of test")
    n_shuffled: int = Field(3, ge=0, description="controls: codes of shuffled places")
