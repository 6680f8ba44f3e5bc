"""Questions about scenes in the official file of GQA, field by field.

Source: cs.stanford.edu/people/dorarad/gqa. A question comes with its program; of GQA's relations
these are the ones that this world knows.
"""

import json
from itertools import permutations
from pathlib import Path
from random import Random

import numpy as np

from feature_atlas.toy.balance import Balance
from feature_atlas.toy.draw import save_picture
from feature_atlas.toy.relations import holds
from feature_atlas.toy.scene import Scene, Thing, random_scene

RELATIONS = {
    "to the left of": "left of",
    "to the right of": "right of",
    "above": "above",
    "below": "below",
}
"""As GQA says them, and what this world calls them."""
FIRST_IMAGE_ID = 400_001
N_QUESTIONS = 2
"""Of a picture."""


def write_gqa(folder: Path, n_images: int, random: Random, noise: np.random.Generator) -> None:
    """val_balanced_questions.json and images/: as many yes as no for each relation."""
    balance, rows = Balance(), {}
    for image_id in range(FIRST_IMAGE_ID, FIRST_IMAGE_ID + n_images):
        scene = random_scene(random)
        save_picture(folder / "images" / f"{image_id}.jpg", scene, noise)
        for number, relation in enumerate(random.sample(list(RELATIONS), N_QUESTIONS)):
            answer = balance.wanted(relation, random)
            pair = _pair(scene, RELATIONS[relation], answer, random)
            if pair is not None:
                balance.record(relation, answer)
                rows[f"{image_id}{number}"] = _question(str(image_id), *pair, relation, answer)
    file = folder / "val_balanced_questions.json"
    file.write_text(json.dumps(rows), encoding="utf-8")


def _pair(scene: Scene, relation: str, answer: str, random: Random) -> tuple[Thing, Thing] | None:
    """Two things of which the answer is true; None: the scene has none."""
    pairs = [
        (a, b)
        for a, b in permutations(scene.things, 2)
        if holds(relation, a.cell, b.cell) == (answer == "yes")
    ]
    return random.choice(pairs) if pairs else None


def _question(image_id: str, a: Thing, b: Thing, relation: str, answer: str) -> dict:
    first, second = (f"{thing.colour} {thing.shape}" for thing in (a, b))
    related = f"{first},{relation},s ({a.cell})"
    return {
        "semantic": [
            {"operation": "select", "dependencies": [], "argument": f"{second} ({b.cell})"},
            {"operation": "verify rel", "dependencies": [0], "argument": related},
        ],
        "entailed": [],
        "equivalent": [],
        "question": f"Is the {first} {relation} the {second}?",
        "imageId": image_id,
        "isBalanced": True,
        "groups": {"global": None, "local": f"{b.cell}-{a.cell}"},
        "answer": answer,
        "semanticStr": f"select: {second} ({b.cell})->verify rel: {related} [0]",
        "annotations": {"answer": {}, "question": {}, "fullAnswer": {}},
        "types": {"detailed": "relVerify", "semantic": "rel", "structural": "verify"},
        "fullAnswer": f"{answer.capitalize()}.",
    }
