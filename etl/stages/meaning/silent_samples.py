"""Questions on which a feature is silent: what explainers compare its top samples with (5.1, B).

Candidates are random questions and statements, statements with the relations of top samples, and
other questions about the pictures that features are scored on.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch

from feature_atlas.dictionary.sae import Encoder
from feature_atlas.etl.inputs.samples import draw
from feature_atlas.etl.stages.dictionary.adapt import adapted_sae
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.stages.features.skills import BASE, STATEMENTS
from feature_atlas.etl.stages.vlm.numbered_sample import sample_of
from feature_atlas.etl.study import Study
from feature_atlas.features.neutral_prompt import fired_anywhere
from feature_atlas.vlm.harvest import harvest
from feature_atlas.vlm.token_roles import TEXT_ROLES

N_RANDOM = 300
"""Random base questions, and VSR statements, from which silent samples come."""
PER_NEGATIVE = 3
"""Candidates of one kind for every negative wanted: a feature fires on some of them."""


def random_samples(study: Study) -> list[int]:
    """Local numbers of random questions and statements."""
    numbers: list[int] = []
    for split in (BASE, STATEMENTS):
        rows = range(len(study.samples[split]))
        numbers += [
            study.first_number[split] + row for row in draw(rows, N_RANDOM, study.config.seed)
        ]
    return numbers


def of_relations(study: Study, relations: Iterable[str], n_each: int) -> list[int]:
    """Local numbers of some statements with each relation."""
    rows: dict[str | None, list[int]] = {}
    for row, sample in enumerate(study.samples[STATEMENTS]):
        rows.setdefault(sample.relation, []).append(row)
    first = study.first_number[STATEMENTS]
    return [
        first + row
        for relation in sorted(relations)
        for row in draw(rows.get(relation, []), n_each, study.config.seed)
    ]


def of_pictures(study: Study, wanted: Mapping[Feature, Sequence[Path]], n_each: int) -> list[int]:
    """Local numbers of some questions about each feature's pictures."""
    rows: dict[Path, list[int]] = {picture: [] for some in wanted.values() for picture in some}
    for split in (BASE, STATEMENTS):
        for row, sample in enumerate(study.samples[split]):
            if sample.image in rows:
                rows[sample.image].append(study.first_number[split] + row)
    return [
        number
        for pictures in wanted.values()
        for number in draw([n for p in pictures for n in rows[p]], n_each, study.config.seed)
    ]


@torch.no_grad()
def silent_of(
    study: Study, features: list[Feature], background: list[int]
) -> dict[Feature, list[int]]:
    """Background samples on whose text a feature never fires."""
    layers = sorted({f.layer for f in features})
    encoders = {layer: Encoder.of(adapted_sae(study, "text", layer)) for layer in layers}
    numbers = {i: torch.tensor([f.feature for f in features if f.layer == i]) for i in layers}
    fired: dict[int, list[torch.Tensor]] = {layer: [] for layer in layers}
    for batch, rows in study.prompts([sample_of(study, number) for number in background]):
        tokens = harvest(study.vlm.model, batch, layers).only(TEXT_ROLES)
        for layer in layers:
            codes = encoders[layer].encode(tokens.residuals[layer])
            wanted = numbers[layer].to(tokens.prompt.device)
            fired[layer].append(fired_anywhere(codes, tokens.prompt, len(rows), wanted).cpu())
    silent: dict[Feature, list[int]] = {}
    for layer in layers:
        quiet = ~torch.cat(fired[layer])
        for column, number in enumerate(numbers[layer].tolist()):
            rows = quiet[:, column].nonzero().flatten().tolist()
            silent[Feature(layer, number)] = [background[row] for row in rows]
    return silent
