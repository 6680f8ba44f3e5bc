"""What one run studies: the model, its dictionaries and its samples, opened once per process."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from feature_atlas.etl.artifacts import (
    file_sha256,
    folder_fingerprint,
    read_arrays,
    read_json,
    write_json,
)
from feature_atlas.etl.checkpoints import Vlm, load_base_saes, load_vlm, sae_folder, vlm_folder
from feature_atlas.etl.config import RunConfig, hashed_config, stable_hash
from feature_atlas.etl.samples import Sample, draw, open_image, require_images
from feature_atlas.etl.vqav2 import read_vqav2
from feature_atlas.etl.vsr import read_vsr
from feature_atlas.sae import TopKSae
from feature_atlas.vlm import PromptBatch, decoder_layers, encode_prompts, text_model


class Inputs(NamedTuple):
    """The identity of a run, before anything is computed."""

    slug: str
    """Folder name: the configuration's name and the start of its hash."""
    config_hash: str
    """Hash of the configuration and of the contents of every input file."""
    fingerprints: dict[str, str]
    """Content hashes: vlm, sae and each dataset."""


def identify(config: RunConfig) -> Inputs:
    """Fingerprint every input and name the run; reads files, computes nothing."""
    fingerprints = {
        "vlm": _fingerprint_folder(vlm_folder(config.vlm)),
        "sae": _fingerprint_saes(config),
        **{name: _fingerprint_samples(samples) for name, samples in read_samples(config).items()},
    }
    config_hash = stable_hash({"config": hashed_config(config), "inputs": fingerprints})
    return Inputs(f"{config.name}-{config_hash[:8]}", config_hash, fingerprints)


def read_samples(config: RunConfig) -> dict[str, list[Sample]]:
    """The samples of each dataset split that the run uses, drawn with the configured seed."""
    data = config.data
    drawn = {
        "vqav2-train": draw(read_vqav2(data.vqa_folder, "train"), data.n_adapt, data.seed),
        "vqav2-val": draw(read_vqav2(data.vqa_folder, "val"), data.n_base, data.seed),
    }
    for split in ("train", "test"):
        statements = read_vsr(data.vsr_folder, split, data.vsr_prompt)
        drawn[f"vsr-{split}"] = draw(statements, data.n_vsr, data.seed)
    for name, samples in drawn.items():
        if not samples:
            raise ValueError(f"dataset {name} is empty: expected at least one entry.")
        require_images(samples)
    return drawn


class Study:
    """A run's model, base dictionaries and samples; heavy things load on first use."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.inputs = read_json(run / "inputs.json")
        self.config = RunConfig.model_validate(self.inputs["config"])
        self.layers = list(self.config.sae.layers)

    @cached_property
    def samples(self) -> dict[str, list[Sample]]:
        """Samples by dataset split."""
        return read_samples(self.config)

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
        return load_vlm(self.config.vlm, self.config.device)

    @cached_property
    def base(self) -> dict[int, TopKSae]:
        """Base dictionary of each layer."""
        return load_base_saes(self.config.sae, self.vlm.model, self.config.device)

    @cached_property
    def mean_image(self) -> Tensor:
        """Mean image embedding, from the stage of that name, [patch, d_model]."""
        stored = read_arrays(self.run, "mean_image", "mean_image")["embedding"]
        return torch.from_numpy(stored).to(self.vlm.model.dtype).to(self.config.device)

    def prompts(
        self,
        samples: Sequence[Sample],
        *,
        with_image: bool = True,
        questions: Sequence[str] | None = None,
    ) -> Iterator[tuple[PromptBatch, list[int]]]:
        """Batches of prompts with the positions of their samples; ``questions`` replaces theirs."""
        asked = [s.question for s in samples] if questions is None else list(questions)
        step = self.config.batch_size
        for start in range(0, len(samples), step):
            rows = list(range(start, min(start + step, len(samples))))
            images = [open_image(samples[i].image) for i in rows] if with_image else None
            batch = encode_prompts(
                self.vlm.processor,
                [asked[i] for i in rows],
                images,
                suffix=self.config.vlm.suffix,
            )
            yield batch.to(self.config.device), rows


@lru_cache(maxsize=1)
def open_study(run: Path) -> Study:
    """The study of a run folder; the same object for every stage of one process."""
    return Study(run)


def open_run(config: RunConfig, home: Path) -> Path:
    """Create (or find) the run's folder with ``inputs.json``; checks model and SAEs first.

    Calling it again in one process costs nothing: the study stays open.
    """
    inputs = identify(config)
    run = home / "runs" / inputs.slug
    file = run / "inputs.json"
    facts = {**inputs._asdict(), "config": config.model_dump(mode="json")}
    known = read_json(file) if file.is_file() else {}
    if {name: known.get(name) for name in facts} != facts:
        run.mkdir(parents=True, exist_ok=True)
        write_json(file, facts)
        open_study.cache_clear()
    study = open_study(run)
    _ = study.base  # a width or format that does not fit fails here, before any work
    study.inputs |= describe_inputs(study)
    write_json(file, study.inputs)
    return run


def describe_inputs(study: Study) -> dict[str, Any]:
    """The registry rows of the manifest: vlm, sae_set and datasets."""
    config, fingerprints = study.config, study.inputs["fingerprints"]
    text = text_model(study.vlm.model).config
    first = study.base[study.layers[0]]
    d_sae, d_model = first.w_dec.shape
    return {
        "vlm": {
            "name": config.vlm.name,
            "revision": config.vlm.revision,
            "fingerprint": fingerprints["vlm"],
            "architecture": type(study.vlm.model).__name__,
            "n_layers": len(decoder_layers(study.vlm.model)),
            "d_model": d_model,
            "n_heads": text.num_attention_heads,
            "n_kv_heads": text.num_key_value_heads,
            "base_name": config.vlm.base,
            "base_fingerprint": None,
        },
        "sae_set": {
            "name": config.sae.release,
            "release": config.sae.release,
            "fingerprint": fingerprints["sae"],
            "gate": "topk",
            "k": first.k,
            "d_sae": d_sae,
            "d_model": d_model,
            "hook_site": "resid_post",
            "layers": study.layers,
            "activation_scale": [study.base[layer].scale for layer in study.layers],
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


def _fingerprint_folder(folder: Path) -> str:
    files = [p for p in folder.rglob("*") if p.is_file() and p.suffix in {".safetensors", ".json"}]
    if not files:
        raise FileNotFoundError(f"{folder} holds no .safetensors or .json files: not a checkpoint.")
    return folder_fingerprint(files, folder)


def _fingerprint_saes(config: RunConfig) -> str:
    if config.sae.source == "sae_lens_release":
        return stable_hash([config.sae.path, config.sae.sae_id, config.sae.layers])
    folders = [sae_folder(config.sae, layer) for layer in config.sae.layers]
    missing = [str(f) for f in folders if not f.is_dir()]
    if missing:
        raise FileNotFoundError(
            f"no base SAE at {missing[0]}: sae.path is {config.sae.path!r}, expected a folder per "
            "layer with {layer} in the path."
        )
    return stable_hash([_fingerprint_folder(folder) for folder in folders])


def _fingerprint_samples(samples: Sequence[Sample]) -> str:
    """Questions, answers and the pictures' contents; where they lie does not matter."""
    digest = hashlib.sha256()
    pictures: dict[Path, str] = {}
    for sample in samples:
        if sample.image not in pictures:
            pictures[sample.image] = file_sha256(sample.image)
        digest.update(repr((*sample._replace(image=Path(pictures[sample.image])),)).encode())
    return digest.hexdigest()
