"""A scene in words: as the text a language model reads, and as the caption a model answers with.

Rows and columns have different words ("row two column x"), so that a bag of the last few words is
enough to know a place. The textual scene is terse, and the colour comes last in each item: by the
time a model reads it, everything else about the thing has just been said, and the colour is what
questions look up.
"""

from itertools import pairwise
from random import Random

from feature_atlas.toy.relations import RELATIONS, holds
from feature_atlas.toy.scene import COLOURS, Scene, Sign, Thing, column_of, row_of

ROW_WORDS = ("one", "two", "three", "four")
COLUMN_WORDS = ("w", "x", "y", "z")


def place(cell: int) -> str:
    """Cell 6 is "row two column y"."""
    return f"row {ROW_WORDS[row_of(cell)]} column {COLUMN_WORDS[column_of(cell)]}"


def textual_scene(scene: Scene, random: Random) -> str:
    """Every thing in random order: "circle two y red, sign one w k." """
    items = [(thing.shape, *coordinates(thing.cell), thing.colour) for thing in scene.things]
    if scene.sign:
        items.append(("sign", *coordinates(scene.sign.cell), scene.sign.letter))
    random.shuffle(items)
    return ", ".join(map(" ".join, items)) + "."


def plural(shape: str) -> str:
    """Crosses, but stars."""
    return f"{shape}es" if shape == "cross" else f"{shape}s"


def coordinates(cell: int) -> tuple[str, str]:
    """Cell 6 is "two", "y"."""
    return ROW_WORDS[row_of(cell)], COLUMN_WORDS[column_of(cell)]


def caption(scene: Scene) -> str:
    """Every thing in raster order: "sign k row one column w, red circle row two column y." """
    occupants: list[Thing | Sign] = [*scene.things]
    if scene.sign:
        occupants.append(scene.sign)
    occupants.sort(key=lambda occupant: occupant.cell)
    return ", ".join(f"{_name(occupant)} {place(occupant.cell)}" for occupant in occupants) + "."


def positions(scene: Scene) -> str:
    """How things stand to each other: "red circle blue square left of above far from, ..."

    Each thing, in the order of COLOURS, with the next one and every relation true of the two. So
    describing positions is working out relations, as it is for a large model.
    """
    things = sorted(scene.things, key=lambda thing: COLOURS.index(thing.colour))
    return ", ".join(_standing(a, b) for a, b in pairwise(things)) + "."


def _standing(a: Thing, b: Thing) -> str:
    true = [relation for relation in RELATIONS if holds(relation, a.cell, b.cell)]
    return " ".join([_name(a), _name(b), *true])


def _name(occupant: Thing | Sign) -> str:
    if isinstance(occupant, Sign):
        return f"sign {occupant.letter}"
    return f"{occupant.colour} {occupant.shape}"
