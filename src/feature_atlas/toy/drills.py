"""Dense exercises about a scene: nearly every other word can only be known by looking.

An answer to a yes/no question is one bit for a dozen tokens, and not even that before a network can
look things up. These lists teach that in a few hundred steps. The world itself never asks for them.
"""

from random import Random

from feature_atlas.toy.describe import coordinates, plural
from feature_atlas.toy.relations import RELATIONS, holds
from feature_atlas.toy.scene import LETTERS, SHAPES, Scene


def attribute_drill(scene: Scene, random: Random) -> str:
    """One true word after each name, in random order: "red two blue star red circle sign k ..."

    The word must be known at the name itself. Longer phrases are learned by other means: in a list
    with a fixed order one can count along, or see what has not been said yet.
    """
    items = []
    for thing in scene.things:
        items += [f"{thing.colour} {word}" for word in (thing.shape, *coordinates(thing.cell))]
    if scene.sign:
        letter, cell = scene.sign.letter, scene.sign.cell
        items += [f"sign {word}" for word in (letter, *coordinates(cell))]
    random.shuffle(items)
    return " ".join(items) + "."


def relation_drill(scene: Scene, random: Random, n_pairs: int) -> str:
    """Pairs of things and one truth about each: "red blue above green red far ..." """
    items = []
    for _ in range(n_pairs):
        a, b = random.sample(scene.things, 2)
        true = [relation for relation in RELATIONS if holds(relation, a.cell, b.cell)]
        items.append(f"{a.colour} {b.colour} {random.choice(true).split()[0]}")
    return " ".join(items) + "."


def fact_drill(scene: Scene, random: Random, n_facts: int) -> str:
    """Verdicts, colours by shape and counts: "red star no circle red crosses 2 sign k yes ..." """
    shapes = [thing.shape for thing in scene.things]
    unique = [thing for thing in scene.things if shapes.count(thing.shape) == 1]
    items = []
    for _ in range(n_facts):
        form = random.random()
        if form < 0.25 and unique:
            thing = random.choice(unique)
            items.append(f"{thing.shape} {thing.colour}")
        elif form < 0.5:
            shape = random.choice([*SHAPES, *shapes])
            items.append(f"{plural(shape)} {shapes.count(shape)}")
        elif form < 0.75 and scene.sign:
            items.append(_verdict("sign", scene.sign.letter, LETTERS, random))
        else:
            thing = random.choice(scene.things)
            items.append(_verdict(thing.colour, thing.shape, SHAPES, random))
    return " ".join(items) + "."


def _verdict(name: str, truth: str, words: tuple[str, ...], random: Random) -> str:
    if random.random() < 0.5:
        return f"{name} {truth} yes"
    return f"{name} {random.choice([word for word in words if word != truth])} no"
