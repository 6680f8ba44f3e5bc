"""What explainers get to see of each feature (paper 5.1, B.1): samples first, pictures when sent.

Held at once are questions; a picture is opened, and an overlay computed, when it is on its way.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from feature_atlas.etl.inputs.pictures import open_image
from feature_atlas.etl.run_folder.artifacts import file_sha256, read_table, require_stage
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.stages.features.harvest_sums import SOURCES
from feature_atlas.etl.stages.features.top_samples import top_samples
from feature_atlas.etl.stages.heads.overlay import overlaid_pictures
from feature_atlas.etl.stages.meaning.silent_samples import (
    PER_NEGATIVE,
    of_pictures,
    of_relations,
    random_samples,
    silent_of,
)
from feature_atlas.etl.stages.vlm.numbered_sample import sample_of
from feature_atlas.etl.study import Study
from feature_atlas.meaning.auto_interp import Written
from feature_atlas.meaning.interp_samples import (
    Described,
    Sample,
    Scored,
    TooFewSamplesError,
    choose_described,
    choose_scored,
)
from feature_atlas.vlm.head_probe import Head

BATCH = 16_384
"""Rows read at a time."""


class Material(NamedTuple):
    """The samples of one feature."""

    feature: Feature
    describe: list[Sample]
    """To describe it from."""
    scored: Scored
    """To score the description on."""
    written: Written | None = None
    """What it writes; None where that was not asked for, or it writes nothing."""


class Materials(NamedTuple):
    """What there is to describe."""

    material: list[Material]
    """Of the features that have enough samples, in the order in which they were asked for."""
    left_out: dict[Feature, str]
    """The others, and why."""
    background: list[Sample]
    """Random questions and statements, for comparison."""


class Album:
    """Samples as explainers know them, and their pictures.

    A picture is known by its content: COCO's have other names in other data sets.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self._numbers: dict[str, int] = {}
        self._files: dict[int, Path] = {}

    def shown(
        self, number: int, tokens: Sequence[str] = (), values: Sequence[float] = ()
    ) -> Sample:
        """The sample with a local number, without its picture."""
        sample = sample_of(self.study, number)
        image_id = self._numbers.setdefault(file_sha256(sample.image), len(self._numbers))
        self._files[image_id] = sample.image
        return Sample(
            question=sample.question,
            answer=sample.answer,
            tokens=tokens,
            activations=values,
            image_id=image_id,
            relation=sample.relation,
            source=sample.dataset,
        )

    def file(self, sample: Sample) -> Path:
        """Where its picture is."""
        return self._files[sample.image_id]

    def pictured(self, samples: Sequence[Sample], heads: Sequence[Head]) -> list[Sample]:
        """The samples with their pictures, and one overlay per head where its place is known."""
        pictures = [open_image(self.file(sample)) for sample in samples]
        questions = [sample.question for sample in samples]
        overlays: list[list[Image.Image]] = [[] for _ in samples]
        for head in heads:
            seen = overlaid_pictures(self.study, questions, pictures, head)
            for of_sample, overlay in zip(overlays, seen, strict=True):
                if overlay is not None:
                    of_sample.append(overlay)
        return [
            sample._replace(image=picture, overlays=drawn)
            for sample, picture, drawn in zip(samples, pictures, overlays, strict=True)
        ]


def gather(study: Study, album: Album, features: list[Feature]) -> Materials:
    """Samples to describe and to score, of every feature that has enough of them."""
    tokens = tokens_of_examples(study, features)
    described: dict[Feature, Described] = {}
    left_out: dict[Feature, str] = {}
    for feature in features:
        try:
            described[feature] = choose_described(
                _active(study, album, feature, tokens),
                n_describe=study.config.auto_interp.n_description,
            )
        except TooFewSamplesError as error:
            left_out[feature] = str(error)
    background = random_samples(study)
    silent = _silent(study, album, described, background)
    asked = "OUTPUT" in study.config.auto_interp.variants
    written = _written(study, list(described)) if asked else {}
    material = []
    for feature, chosen in described.items():
        try:
            scored = _scored(study, album, chosen, silent[feature])
        except TooFewSamplesError as error:
            left_out[feature] = str(error)
        else:
            material.append(Material(feature, chosen.describe, scored, written.get(feature)))
    return Materials(material, left_out, [album.shown(number) for number in background])


def _silent(
    study: Study, album: Album, described: Mapping[Feature, Described], background: list[int]
) -> dict[Feature, list[int]]:
    """Local numbers of samples on which each feature is silent."""
    if not described:
        return {}
    n_each = PER_NEGATIVE * -(-study.config.auto_interp.n_validation // 3)
    active = {f: [*chosen.describe, *chosen.held_out] for f, chosen in described.items()}
    relations = {s.relation for samples in active.values() for s in samples if s.relation}
    pictures = {
        f: list(dict.fromkeys(album.file(s) for s in chosen.held_out))
        for f, chosen in described.items()
    }
    candidates = [
        *background,
        *of_relations(study, relations, n_each),
        *of_pictures(study, pictures, n_each),
    ]
    return silent_of(study, list(described), list(dict.fromkeys(candidates)))


def _scored(study: Study, album: Album, chosen: Described, silent: Sequence[int]) -> Scored:
    n = study.config.auto_interp.n_validation
    return choose_scored(
        chosen,
        [album.shown(number) for number in silent],
        n_positive=n,
        n_negative=n,
        seed=study.config.seed,
    )


def _active(
    study: Study,
    album: Album,
    feature: Feature,
    tokens: Mapping[tuple[Feature, int], tuple[list[str], list[float]]],
) -> list[Sample]:
    """The feature's top samples, most active first."""
    n = study.config.example.n_per_source
    numbers = [i for source in SOURCES for i in top_samples(study, feature, source, n)]
    active = [album.shown(i, *tokens[feature, i]) for i in numbers]
    return sorted(active, key=lambda sample: -max(sample.activations))


def tokens_of_examples(
    study: Study, features: list[Feature]
) -> dict[tuple[Feature, int], tuple[list[str], list[float]]]:
    """Tokens and activations of the chosen features' samples, from the example stage."""
    rows = rows_of_features(study, "example", features, ["sample", "tokens", "activations"])
    return {
        (Feature(row["layer"], row["feature"]), row["sample"]): (row["tokens"], row["activations"])
        for row in rows
    }


def _written(study: Study, features: list[Feature]) -> dict[Feature, Written]:
    """The tokens that chosen features make likelier and less likely."""
    rows = rows_of_features(study, "logit_effect", features, ["top_tokens", "bottom_tokens"])
    return {
        Feature(row["layer"], row["feature"]): Written(row["top_tokens"], row["bottom_tokens"])
        for row in rows
    }


def rows_of_features(
    study: Study, stage: str, features: list[Feature], columns: list[str]
) -> Iterator[dict[str, Any]]:
    """Rows of chosen features in the table that is named as its stage."""
    wanted = [layer * 2**32 + feature for layer, feature in features]
    for batch in _batches(study.run, stage, ["layer", "feature", *columns]):
        keys = batch["layer"].to_numpy().astype(np.int64) * 2**32 + batch["feature"].to_numpy()
        yield from batch.filter(pa.array(np.isin(keys, wanted))).to_pylist()


def _batches(run: Path, stage: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """A table that may be larger than memory, some rows at a time."""
    for file in require_stage(run, stage)["files"]:
        if file.get("table") == stage:
            with pq.ParquetFile(run / file["path"]) as stored:
                yield from stored.iter_batches(BATCH, columns=columns)


def top_heads(study: Study) -> dict[Feature, list[Head]]:
    """The heads that the overlay stage chose as each feature's strongest, best first."""
    if all(f.get("table") != "overlay" for f in require_stage(study.run, "overlay")["files"]):
        return {}
    columns = ["layer", "feature", "kind", "head_layer", "head"]
    rows = read_table(study.run, "overlay", "overlay", columns).to_pylist()
    heads: dict[Feature, dict[Head, None]] = {}
    for row in rows:
        if row["kind"] == "top":
            of_feature = heads.setdefault(Feature(row["layer"], row["feature"]), {})
            of_feature[row["head_layer"], row["head"]] = None
    return {feature: list(of_feature) for feature, of_feature in heads.items()}
