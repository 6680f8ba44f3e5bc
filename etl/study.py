"""What one run studies: the model, its dictionaries and its samples, opened once per process."""

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

from feature_atlas.dictionary.gate import gate_facts
from feature_atlas.dictionary.sae import Sae
from feature_atlas.etl.at_once import SPARED, decided_here, weight_bytes
from feature_atlas.etl.config.run_config import RunConfig, stable_hash
from feature_atlas.etl.identity import identify
from feature_atlas.etl.inputs.base_saes import KEPT_BYTES, BaseSaes
from feature_atlas.etl.inputs.checkpoints import (
    BaseModel,
    Vlm,
    load_base_model,
    load_vlm,
    vlm_folder,
)
from feature_atlas.etl.inputs.data_sets import DataSets, read_data_sets
from feature_atlas.etl.inputs.device import compute_repeatably, require_device
from feature_atlas.etl.inputs.feature_store import FeatureStore
from feature_atlas.etl.inputs.newest import Newest
from feature_atlas.etl.inputs.picture_shelf import PictureShelf
from feature_atlas.etl.inputs.pictures import upright_size
from feature_atlas.etl.inputs.prompt_maker import PictureFile, PromptJob, PromptMaker
from feature_atlas.etl.inputs.prompt_record import describe_prompt, require_same_prompt
from feature_atlas.etl.inputs.prompt_workers import made_prompts
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.inputs.skeletons import image_text_skeleton
from feature_atlas.etl.run_folder.artifacts import SCRATCH, read_arrays, read_json
from feature_atlas.etl.run_folder.claims import awaited
from feature_atlas.etl.run_folder.provenance import libraries
from feature_atlas.etl.run_folder.whole_files import write_json
from feature_atlas.vlm.decoder_inputs import text_model
from feature_atlas.vlm.image_features import MeanImage, n_image_tokens
from feature_atlas.vlm.residual_stream import decoder_layers
from feature_atlas.vlm.token_roles import PromptBatch, constant_prefix, encode_prompts

LARGE = 2**30
"""In main memory: what needs more has it without the models, which are read again in seconds."""


class Study:
    """A run's model, base dictionaries and samples; heavy things load on first use."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.inputs = read_json(run / "inputs.json")
        self.config = RunConfig.model_validate(self.inputs["config"])
        self.layers = list(self.config.sae.layers)
        compute_repeatably(self.config.device)

    @property
    def batch_size(self) -> int:
        """Prompts per forward pass, as decided when the run began."""
        return self.config.batch_size or 1

    @property
    def samples_at_once(self) -> int:
        """Of attribution, as decided when the run began."""
        return self.config.head_attribution.samples_at_once or 1

    @cached_property
    def prefixes(self) -> dict[bool, Tensor]:
        """Token ids of the constant prefix seen so far, with and without an image."""
        return {}

    @cached_property
    def data_sets(self) -> DataSets:
        """Samples, and what is to be known of them."""
        return read_data_sets(self.config.data)

    @cached_property
    def samples(self) -> dict[str, list[Sample]]:
        """Samples by dataset split."""
        return self.data_sets.samples

    @cached_property
    def first_number(self) -> dict[str, int]:
        """Local number of each split's first sample in the run's `sample` table."""
        numbers, start = {}, 0
        for name, samples in self.samples.items():
            numbers[name] = start
            start += len(samples)
        return numbers

    @cached_property
    def image_numbers(self) -> dict[str, Tensor]:
        """Number of each sample's picture, by split; one picture has one number in all splits."""
        numbers: dict[Path, int] = {}
        return {
            name: torch.tensor([numbers.setdefault(s.image, len(numbers)) for s in samples])
            for name, samples in self.samples.items()
        }

    @cached_property
    def vlm(self) -> Vlm:
        """Model and processor."""
        self.make_room(self._vlm_bytes)
        return load_vlm(self.config.vlm, self.config.device)

    @cached_property
    def base_model(self) -> BaseModel:
        """The language model from before it saw images, and its tokenizer."""
        if self.config.base_model is None:
            raise ValueError(
                "the run has no base model: add a section base_model with the path of the language "
                "model and a file of plain text."
            )
        self.make_room(self._vlm_bytes)  # of the same text model, and a tower
        vlm = image_text_skeleton(vlm_folder(self.config.vlm)).model
        of = self.config
        return load_base_model(self.config.base_model, vlm, of.vlm.dtype, of.device)

    @cached_property
    def _vlm_bytes(self) -> int:
        vlm = image_text_skeleton(vlm_folder(self.config.vlm)).model
        return sum(weight.numel() for weight in vlm.parameters()) * weight_bytes(self.config)

    def drop(self, *models: Literal["vlm", "base_model"]) -> None:
        """Let these models leave the device; the next who asks for one loads it again."""
        for name in (*models, "pictures"):  # the shelf of pictures has the VLM
            self.__dict__.pop(name, None)
        if self.config.device.startswith("cuda"):
            torch.cuda.empty_cache()

    def make_room(self, n_bytes: int) -> None:
        """Models leave a GPU that has no room for so much beside them; main memory, if large."""
        if self.config.device.startswith("cuda"):
            torch.cuda.empty_cache()
            free, whole = torch.cuda.mem_get_info(self.config.device)
            is_full = free - SPARED * whole < n_bytes
        else:
            is_full = n_bytes > LARGE
        if is_full:
            self.drop("vlm", "base_model")

    @cached_property
    def base(self) -> BaseSaes:
        """Base dictionary of each layer."""
        model = image_text_skeleton(vlm_folder(self.config.vlm)).model
        return BaseSaes(self.config.sae, model, self.config.device)

    @cached_property
    def adapted(self) -> Newest[tuple[Path, str], Sae]:
        """Adapted dictionaries on the device, by folder and key of their stage."""
        return Newest(KEPT_BYTES, lambda sae: sae.n_bytes)

    def forget_dictionaries(self) -> None:
        """Let dictionaries leave the device and main memory; who asks for one reads it again."""
        self.base.kept.clear()
        self.adapted.clear()

    def close(self) -> None:
        """Models and dictionaries leave, whatever still refers to the study."""
        self.drop("vlm", "base_model")
        self.forget_dictionaries()

    @cached_property
    def mean_image(self) -> MeanImage:
        """Mean image features, from the stage of that name."""
        stored = read_arrays(self.run, "mean_image", "mean_image")
        like = {"device": self.config.device, "dtype": self.vlm.model.dtype}
        levels = (torch.from_numpy(stored[name]).to(**like) for name in level_names(len(stored)))
        return MeanImage(tuple(levels))

    @cached_property
    def prompt_maker(self) -> PromptMaker:
        """What makes prompts of questions and pictures."""
        return PromptMaker(self.vlm.processor, self.config.vlm.suffix)

    @cached_property
    def pictures(self) -> PictureShelf:
        """The features of the run's pictures."""
        model = self.vlm.model
        depends = [self.inputs["fingerprints"]["vlm"], str(model.dtype), libraries()]
        device = torch.device(self.config.device)
        is_card, cpu = device.type == "cuda", torch.backends.cpu.get_cpu_capability()
        depends.append(torch.cuda.get_device_name(device) if is_card else cpu)
        folder = self.run / SCRATCH / "pictures" / stable_hash(depends)[:16]
        store = FeatureStore(folder, self.config.picture_cache_gb * 1e9)
        return PictureShelf(self.vlm, self.prompt_maker, store)

    @cached_property
    def pictures_vary(self) -> bool:
        """Whether a picture's size decides how many image tokens it has."""
        blanks = [Image.new("RGB", size) for size in ((320, 320), (640, 400), (200, 900))]
        batch = encode_prompts(self.vlm.processor, ["?"] * len(blanks), blanks)
        return len(n_image_tokens(batch).unique()) > 1

    def prompts(
        self,
        samples: Sequence[Sample],
        *,
        with_image: bool = True,
        questions: Sequence[str] | None = None,
        sized_like: Sequence[Sample] | None = None,
        image: MeanImage | None = None,
        with_pixels: bool = False,
    ) -> Iterator[tuple[PromptBatch, list[int]]]:
        """Batches of prompts with the positions of their samples; ``questions`` replaces theirs.

        They hold their pictures' features, or those of ``image``, and pixels only where these are
        asked for. Pictures get the size of those of ``sized_like`` where that decides how many
        tokens each has, so that one can stand in the place of the other.
        """
        asked = [s.question for s in samples] if questions is None else list(questions)
        pictures = self._picture_files(samples, sized_like or samples) if with_image else []
        step = self.batch_size
        n = len(samples)
        batches = [list(range(i, min(i + step, n))) for i in range(0, n, step)]

        def job(rows: list[int]) -> PromptJob:
            shown = tuple(pictures[i] for i in rows) if with_image else None
            lacking = self.pictures.lacking(shown) if shown and image is None else ()
            return PromptJob(tuple(asked[i] for i in rows), shown, lacking, with_pixels)

        made = made_prompts(self.prompt_maker, map(job, batches), len(batches))
        for (plain, lacking), rows in zip(made, batches, strict=True):
            self._require_known_prefix(plain, with_image)
            batch = plain.to(self.config.device)
            if image is not None:
                batch = batch._replace(features=image.in_place_of(self.pictures.example, batch))
            elif with_image:
                features = self.pictures.features([pictures[i] for i in rows], lacking)
                batch = batch._replace(features=features)
            yield batch, rows

    def _picture_files(
        self, samples: Sequence[Sample], like: Sequence[Sample]
    ) -> list[PictureFile]:
        return [
            PictureFile(sample.image, upright_size(other.image) if self.pictures_vary else None)
            for sample, other in zip(samples, like, strict=True)
        ]

    def _require_known_prefix(self, batch: PromptBatch, with_image: bool) -> None:
        """The template begins every prompt alike, not only those of one batch."""
        found = constant_prefix(batch)
        known = self.prefixes.setdefault(with_image, found)
        if not torch.equal(found, known):
            decode = self.vlm.processor.tokenizer.decode
            raise ValueError(
                f"prompts begin with {decode(found)!r}, and earlier ones with {decode(known)!r}: "
                "expected a constant prefix. Take what changes out of the chat template."
            )


def level_names(n_levels: int) -> list[str]:
    """Names of the mean image's arrays."""
    return ["embedding", *(f"deepstack_{level}" for level in range(n_levels - 1))]


@lru_cache(maxsize=1)
def open_study(run: Path) -> Study:
    """The study of a run folder; the same object for every stage of one process."""
    return Study(run)


def open_run(config: RunConfig, home: Path) -> Path:
    """Create (or find) the run's folder with ``inputs.json``; checks model and SAEs first.

    Calling it again in one process costs nothing: the study stays open.
    """
    require_device(config.device, config.vlm.dtype)
    inputs = identify(config)
    run = home / "runs" / inputs.slug
    file = run / "inputs.json"
    run.mkdir(parents=True, exist_ok=True)
    with awaited(file):  # of several processes that begin the run one writes down what it is
        known = read_json(file) if file.is_file() else {}
        whole = decided_here(config, known.get("config"))
        facts = {**inputs._asdict(), "config": whole.model_dump(mode="json")}
        if {name: known.get(name) for name in facts} != facts:
            write_json(file, facts)
            open_study.cache_clear()
    study = open_study(run)
    _ = study.base.facts  # a width or format that does not fit fails here, before any work
    first, _ = next(study.prompts(study.samples["vqav2-val"][:1]))
    prompt = describe_prompt(study.vlm.processor, first)
    require_same_prompt(study.inputs.get("prompt", prompt), prompt, file)
    study.inputs |= describe_inputs(study) | {"prompt": prompt}
    write_json(file, study.inputs)
    return run


def describe_inputs(study: Study) -> dict[str, Any]:
    """The registry rows of the manifest: vlm, sae_set and datasets."""
    config, fingerprints = study.config, study.inputs["fingerprints"]
    text = text_model(study.vlm.model).config
    base = study.base.facts
    return {
        "vlm": {
            "name": config.vlm.name,
            "revision": config.vlm.revision,
            "fingerprint": fingerprints["vlm"],
            "architecture": type(study.vlm.model).__name__,
            "n_layers": len(decoder_layers(study.vlm.model)),
            "d_model": base.d_model,
            "n_heads": text.num_attention_heads,
            "n_kv_heads": text.num_key_value_heads,
            "base_name": config.vlm.base,
            "base_fingerprint": fingerprints.get("base_model"),
        },
        "sae_set": {
            "name": config.sae.release,
            "release": config.sae.release,
            "fingerprint": fingerprints["sae"],
            **gate_facts(base.gates),
            "d_sae": base.d_sae,
            "d_model": base.d_model,
            "hook_site": "resid_post",
            "layers": study.layers,
            "activation_scale": base.scales,
        },
        "datasets": [
            {
                "key": key,
                "name": name,
                "kind": name.split("-")[0],
                "split": name.split("-")[1],
                "fingerprint": fingerprints[name],
                "n_samples": len(samples),
            }
            for key, (name, samples) in enumerate(study.samples.items())
        ],
    }
