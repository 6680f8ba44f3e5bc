"""How often the atlas is right where the truth is known.

`PYTHONPATH=tests/support python -m planted.world` prints, over five worlds, which kinds of features
get which label, the precision and recall of every label, and how both depend on the angle of the
turns and on the width of the model.
"""

import numpy as np
from rich.console import Console
from rich.table import Table

from planted.atlas import Measured, measure
from planted.features import Kind, Planted, plant
from planted.labels import TRUE_KINDS, Labels, Score, labels_of, score, truth_of
from planted.seeds import repeat

SEEDS = range(5)
ANGLES = (5, 10, 15, 20, 30, 40, 50, 60, 70, 80)
WIDTHS = (64, 96, 128, 160)


def pooled(worlds: list[Measured], label: str) -> Score:
    """Score of a label over the features of all worlds together."""
    found = [getattr(labels_of(world), label) for world in worlds]
    truth = [truth_of(world, *TRUE_KINDS[label]) for world in worlds]
    return score(np.concatenate(found), np.concatenate(truth))


def confusion(worlds: list[Measured]) -> Table:
    """One row per planted kind, one column per label: how many features got it."""
    table = Table("planted", "features", *Labels._fields, title="labels given")
    labels = [labels_of(world) for world in worlds]
    for kind in Kind:
        planted = [truth_of(world, kind) for world in worlds]
        given = [
            sum(int((getattr(of, field) & is_kind).sum())
                for of, is_kind in zip(labels, planted, strict=True))
            for field in Labels._fields
        ]  # fmt: skip
        table.add_row(kind.name.lower(), str(sum(map(np.sum, planted))), *map(str, given))
    return table


def scores(worlds: list[Measured]) -> Table:
    """Precision and recall of every label, per world and over all."""
    table = Table("label", *(f"seed {seed}" for seed in SEEDS), "all", title="precision / recall")
    for label in Labels._fields:
        each = [*(pooled([world], label) for world in worlds), pooled(worlds, label)]
        table.add_row(label, *(f"{s.precision:.2f} / {s.recall:.2f}" for s in each))
    return table


def again() -> Table:
    """Of what the first of three orders of the data labels, how much all three do, by kind."""
    table = Table("planted", "adapted", "in all", "turned by vision", "in all", title="seeds")
    worlds = [repeat(plant(seed), seed) for seed in SEEDS]
    for kind in Kind:
        is_kind = [world.planted.is_any(kind).numpy() for world in worlds]
        found = []
        for label in ("adapted", "turned_by_vision"):
            labelled = [np.concatenate(getattr(world, label)) for world in worlds]
            of_kind = [of[:, kinds] for of, kinds in zip(labelled, is_kind, strict=True)]
            found += [sum(int(of[0].sum()) for of in of_kind)]
            found += [sum(int(of.all(0).sum()) for of in of_kind)]
        table.add_row(kind.name.lower(), *map(str, found))
    return table


def power() -> Table:
    """Score of "turned by vision" when all turned features turned by one angle."""
    return _curve("angle", {f"{a}°": plant(a, (a, a)) for a in ANGLES})


def crowding() -> Table:
    """The same in narrower models, where rare features near a turned one are dragged along."""
    return _curve("d_model", {str(width): plant(1, d_model=width) for width in WIDTHS})


def _curve(name: str, planted: dict[str, Planted]) -> Table:
    table = Table(name, "precision", "recall", "precision of the paper's rule")
    for value, world in planted.items():
        measured = [measure(world, seed=1)]
        found, by_paper = pooled(measured, "turned_by_vision"), pooled(measured, "adapted")
        numbers = (found.precision, found.recall, by_paper.precision)
        table.add_row(value, *(f"{number:.2f}" for number in numbers))
    return table


if __name__ == "__main__":
    console = Console(width=160)
    worlds = [measure(plant(seed), seed) for seed in SEEDS]
    console.print(confusion(worlds), scores(worlds), again(), power(), crowding())
