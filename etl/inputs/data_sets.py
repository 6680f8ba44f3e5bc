"""The data sets of a run: read and checked whole, then drawn from."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from feature_atlas.etl.config.inputs import DataConfig
from feature_atlas.etl.inputs import gqa, whatsup
from feature_atlas.etl.inputs.instances import Instances, read_instances
from feature_atlas.etl.inputs.pictures import Size, require_pictures
from feature_atlas.etl.inputs.samples import Sample, draw
from feature_atlas.etl.inputs.vqav2 import read_vqav2, require_apart, vqav2_files
from feature_atlas.etl.inputs.vsr import doubled, held_out, read_vsr

MEASURED = ("vqav2-val", "vsr-train", "vsr-test")
"""Splits whose pictures may be asked about; the others only train dictionaries."""

FURTHER = {"whatsup": whatsup.DATASET, "gqa": gqa.DATASET}
"""Benches that removals are scored on beside VSR and VQAv2, where a run has them."""


class DataSets(NamedTuple):
    """What a run asks about."""

    samples: dict[str, list[Sample]]
    """By data set and split."""
    sizes: dict[Path, Size]
    """Of every picture."""
    warnings: list[str]
    """What whoever reads the run's numbers must know of them."""


def read_data_sets(data: DataConfig) -> DataSets:
    """The samples of each split that a run uses, drawn with the configured seed.

    Statements of VSR's test split that stand in its train split too are left out of it.
    """
    samples, warnings = _drawn(data, tuple(map(_version, _files(data))))
    sizes = require_pictures([sample for drawn in samples.values() for sample in drawn])
    return DataSets({name: [*drawn] for name, drawn in samples.items()}, sizes, [*warnings])


@lru_cache(maxsize=1)
def _drawn(
    data: DataConfig, _versions: tuple[object, ...]
) -> tuple[dict[str, list[Sample]], list[str]]:
    """Read once per process while the files stay as they are."""
    vqa = {split: read_vqav2(data.vqa_folder, split) for split in ("train", "val")}
    require_apart(data.vqa_folder, vqa["train"], vqa["val"])
    train, test = (read_vsr(data.vsr_folder, split, data.vsr_prompt) for split in ("train", "test"))
    unseen = held_out(train, test)
    further = _further(data)
    samples = {
        "vqav2-train": draw(vqa["train"], data.n_adapt, data.seed),
        "vqav2-val": draw(vqa["val"], data.n_base, data.seed),
        "vsr-train": draw(train, data.n_vsr, data.seed),
        "vsr-test": draw(unseen, data.n_vsr, data.seed),
        **further,
    }
    if len({sample.image for sample in samples["vqav2-val"]}) < 2:
        raise ValueError(
            f"the questions drawn from val in {data.vqa_folder} are about one picture: expected "
            "two or more, since each is also asked of another one's picture."
        )
    if not unseen:
        raise ValueError(
            f"all {len(test)} statements of {data.vsr_folder / 'test.jsonl'} stand in train.jsonl "
            "as well: expected a split of its own."
        )
    return samples, [*_warnings(train, test, unseen), *_of_benches(further)]


def _further(data: DataConfig) -> dict[str, list[Sample]]:
    """Of benches that are configured."""
    found = {}
    if data.whatsup_folder is not None:
        found[whatsup.DATASET] = whatsup.read_whatsup(data.whatsup_folder, data.vsr_prompt)
    if data.gqa_folder is not None:
        found[gqa.DATASET] = draw(gqa.read_gqa(data.gqa_folder), data.n_gqa, data.seed)
    return found


def _files(data: DataConfig) -> list[Path]:
    further = [] if data.gqa_folder is None else [data.gqa_folder / gqa.FILE]
    if data.whatsup_folder is not None:
        further += [data.whatsup_folder / name for name in whatsup.FILES.values()]
    return [
        *further,
        *vqav2_files(data.vqa_folder, "train"),
        *vqav2_files(data.vqa_folder, "val"),
        *(data.vsr_folder / f"{split}.jsonl" for split in ("train", "test")),
    ]


def _version(file: Path) -> tuple[int, int] | None:
    if not file.is_file():
        return None
    facts = file.stat()
    return facts.st_size, facts.st_mtime_ns


def read_objects(files: Sequence[Path], found: DataSets) -> Instances | None:
    """What is known of the pictures that may be asked about; None without a file."""
    asked = {sample.image for split in MEASURED for sample in found.samples[split]}
    sizes = {picture: found.sizes[picture] for picture in asked}
    return read_instances(files, sizes) if files else None


def _warnings(train: list[Sample], test: list[Sample], unseen: list[Sample]) -> list[str]:
    said = []
    shared = len(test) - len(unseen)
    if shared:
        said.append(
            f"{shared} of {len(test)} statements of VSR's test split stand in its train split as "
            f"well: they are left out, and the other {len(unseen)} are the held-out ones"
        )
    for split, samples in (("train", train), ("test", unseen)):
        twice = doubled(samples)
        if twice:
            said.append(
                f"{len(twice)} statements stand twice in VSR's {split} split, the first in line "
                f"{twice[0].external_id.removeprefix(f'{split}:')}: each counts as often as it "
                "stands there"
            )
    return said


def _of_benches(further: dict[str, list[Sample]]) -> list[str]:
    return [
        f"{len(twice)} questions of {name} are asked of the same picture twice, the first again in "
        f"{twice[0].external_id}: each counts as often as it stands there"
        for name, samples in further.items()
        if (twice := doubled(samples))
    ]
