"""Questions on which a feature is silent: what explainers compare its top samples with (5.1, B).

Candidates are random questions and statements, and other questions about the pictures of top
samples.
"""

import torch

from feature_atlas.etl.adapt import adapted_sae
from feature_atlas.etl.chosen import sample_of, top_samples
from feature_atlas.etl.harvest import BASE, STATEMENTS
from feature_atlas.etl.neutral_prompt import Feature
from feature_atlas.etl.samples import draw
from feature_atlas.etl.study import Study
from feature_atlas.harvest import harvest
from feature_atlas.neutral_prompt import fired_anywhere
from feature_atlas.sae import encode
from feature_atlas.vlm import TEXT_ROLES

N_BACKGROUND = 300
"""Base questions, and VSR statements, from which silent samples come."""
N_SIBLINGS = 600
"""Other questions about the pictures of top samples, for negatives of the same picture."""


def background_of(study: Study, features: list[Feature]) -> list[int]:
    """Local numbers of random questions and statements, and of siblings of top samples."""
    numbers: list[int] = []
    for split in (BASE, STATEMENTS):
        rows = {id(s): i for i, s in enumerate(study.samples[split])}
        drawn = draw(study.samples[split], N_BACKGROUND, study.config.seed)
        numbers += [study.first_number[split] + rows[id(s)] for s in drawn]
    shown = {sample_of(study, n).image for f in features for n in top_samples(study, f, "vqav2", 3)}
    first = study.first_number[BASE]
    siblings = [first + i for i, s in enumerate(study.samples[BASE]) if s.image in shown]
    return list(dict.fromkeys([*numbers, *siblings[:N_SIBLINGS]]))


@torch.no_grad()
def silent_of(
    study: Study, features: list[Feature], background: list[int]
) -> dict[Feature, list[int]]:
    """Background samples on whose text a feature never fires."""
    layers = sorted({f.layer for f in features})
    saes = {layer: adapted_sae(study, "text", layer) for layer in layers}
    numbers = {i: torch.tensor([f.feature for f in features if f.layer == i]) for i in layers}
    fired: dict[int, list[torch.Tensor]] = {layer: [] for layer in layers}
    for batch, rows in study.prompts([sample_of(study, number) for number in background]):
        tokens = harvest(study.vlm.model, batch, layers).only(TEXT_ROLES)
        for layer in layers:
            codes = encode(saes[layer], tokens.residuals[layer])
            wanted = numbers[layer].to(tokens.prompt.device)
            fired[layer].append(fired_anywhere(codes, tokens.prompt, len(rows), wanted).cpu())
    silent: dict[Feature, list[int]] = {}
    for layer in layers:
        quiet = ~torch.cat(fired[layer])
        for column, number in enumerate(numbers[layer].tolist()):
            rows = quiet[:, column].nonzero().flatten().tolist()
            silent[Feature(layer, number)] = [background[row] for row in rows]
    return silent
