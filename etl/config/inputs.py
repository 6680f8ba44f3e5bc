"""What a run studies: model, dictionaries, texts and data (paper 3, 4.1)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Seed = Annotated[int, Field(ge=0, lt=2**31)]
Word = Annotated[str, Field(min_length=1)]
Layer = Annotated[int, Field(ge=0)]


def first_double(values: Sequence[Any]) -> Any:
    """The first value that an earlier one is equal to; None without one."""
    return next((value for i, value in enumerate(values) if value in values[:i]), None)


class Section(BaseModel):
    """A part of the configuration: frozen; unknown keys, infinities and doubles are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="after")
    def _nothing_twice(self) -> "Section":
        for name in type(self).model_fields:
            values = getattr(self, name)
            double = first_double(values) if isinstance(values, tuple) else None
            if double is not None:
                raise ValueError(f"{name} names {double} twice: expected each once")
        return self


class VlmConfig(Section):
    """The vision-language model under study and the language model it came from."""

    path: Word = Field(
        description="folder or hub id that transformers loads as an image-text model"
    )
    revision: str | None = Field(None, description="hub revision; None for a local folder")
    base: Word = Field(description="name of the language model the base SAEs were trained on")
    name: Word = Field(description="name shown in the atlas")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="one dtype for all stages")
    suffix: str = Field("", description="instruction after each question, a token role of its own")


class SaeConfig(Section):
    """The base dictionaries, one per layer."""

    source: Literal[
        "sae_lens_folder", "sae_lens_release", "llama_scope_folder", "sparsify_folder"
    ] = Field("sae_lens_folder", description="how the files are laid out")
    path: Word = Field(
        description="folder with {layer} in it, or a SAELens release name (ids in `sae_id`)"
    )
    sae_id: str = Field("l{layer}r_8x", description="SAELens id of a layer, for a release")
    release: Word = Field(description="name of the release shown in the atlas")
    k: int | None = Field(
        None,
        gt=0,
        description="TopK of the warm start (paper: 50), only where the files state none and no "
        "thresholds of their own; None: as they state",
    )
    layers: tuple[Layer, ...] = Field(
        min_length=1, description="decoder layers to study, 0-based and ascending"
    )
    scales: dict[Layer, Annotated[float, Field(gt=0)]] | None = Field(
        None, description="s per layer when the files do not state it (never re-estimated)"
    )

    @model_validator(mode="after")
    def _a_dictionary_for_each_layer(self) -> "SaeConfig":
        if list(self.layers) != sorted(self.layers):
            raise ValueError(f"layers are {list(self.layers)}: expected ascending ones")
        if self.source == "sae_lens_release":
            _require_place("sae_id", self.sae_id, self.layers)
        else:
            _require_place("path", self.path, self.layers)
        return self


def _require_place(setting: str, text: str, layers: tuple[int, ...]) -> None:
    """Refuse a name that would be the same for every layer, or that cannot be filled in."""
    try:
        names = {text.format(layer=layer) for layer in layers}
    except (LookupError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{setting} {text!r} cannot be filled in ({error!r}): expected {{layer}} and no other "
            "braces; one that is meant is written twice"
        ) from None
    if len(names) < len(layers):
        raise ValueError(
            f"{setting} {text!r} is the same for {len(layers)} layers: expected {{layer}} in it, "
            "where the number of a layer goes"
        )


class StatedConfig(Section):
    """What a release says of one dictionary where its files do not: the gate check holds it to it.

    Of features that never fired, a release has seen more tokens: only `max_dead` limits them.
    """

    l0: float | None = Field(None, gt=0, description="mean number of features that fire")
    fvu: float | None = Field(None, ge=0, le=1, description="fraction of variance unexplained")
    share_dead: float | None = Field(None, ge=0, le=1, description="features that never fire")


class BaseModelConfig(Section):
    """The language model the base SAEs were trained on, with text for the gate check and controls.

    Without it there is no gate check and no null: a run then says so in its warnings.
    """

    path: Word = Field(description="folder or hub id that transformers loads as a causal model")
    revision: str | None = Field(None, description="hub revision; None for a local folder")
    text: Path = Field(
        description="plain text: .txt with a document a line, or .jsonl with a text in each line"
    )
    context_size: int = Field(
        1024, gt=1, description="tokens of a document with its BOS; what is beyond is left out"
    )
    n_gate_tokens: int = Field(16_384, gt=1, description="held-out tokens of the gate check")
    stated: dict[int, StatedConfig] = Field({}, description="per layer, if the files lack it")
    max_fvu: float = Field(0.6, gt=0, le=1, description="where the release states none")
    max_fvu_ratio: float = Field(
        1.5, ge=1, description="FVU over the stated one: our text is not the release's"
    )
    max_dead: float = Field(
        0.9, gt=0, le=1, description="share of features silent on so few tokens"
    )
    l0_tolerance: float = Field(0.2, ge=0, description="relative; against the stated L0, or k")
    max_neighbour_ratio: float = Field(
        1.1,
        ge=1,
        description="FVU over that on the residuals of the layers beside: 1, own layer is best; a "
        "swapped dictionary has several times as much",
    )
    norm_tolerance: float = Field(
        0.25, gt=0, description="relative, of the mean normalised length against sqrt(d_model)"
    )


class InstructConfig(Section):
    """An instruction-tuned language model, to tell chat tuning from learning to see.

    It must come from the VLM's base language model and read the same tokens.
    """

    path: Word = Field(description="folder or hub id that transformers loads as a causal model")
    revision: str | None = Field(None, description="hub revision; None for a local folder")


class DataConfig(Section):
    """VQAv2 and VSR files in their official formats, and further benches for removals."""

    vqa_folder: Path = Field(description="v2_*_questions.json, v2_*_annotations.json and images")
    vsr_folder: Path = Field(description="train.jsonl, dev.jsonl, test.jsonl and images/")
    vsr_prompt: str = Field(
        "Is this statement true? {caption}", description="how a VSR caption becomes a question"
    )
    n_adapt: int = Field(50_000, gt=0, description="VQA train pairs that train the SAEs (4.1)")
    n_base: int = Field(50_000, gt=0, description="VQA validation pairs of D_base (4.3)")
    n_vsr: int = Field(100_000, gt=0, description="VSR statements per split at most")
    n_gqa: int = Field(5_000, gt=0, description="GQA's spatial yes/no questions, if configured")
    seed: Seed = Field(0, description="which pairs are drawn when there are more")
    whatsup_folder: Path | None = Field(
        None, description="What'sUp's folder data: controlled_*_dataset.json and their pictures"
    )
    gqa_folder: Path | None = Field(
        None, description="GQA's val_balanced_questions.json, and images/ of Visual Genome"
    )
    instances: tuple[Path, ...] = Field(
        (), description="COCO's instances_*.json of these pictures: do heads look at what is asked?"
    )
