"""Write a world of drawn scenes to disk, in the official file formats of VQAv2 and VSR.

folder/vqa/v2_OpenEnded_mscoco_{train,val}2014_questions.json   and ..._annotations.json
folder/vqa/{train,val}2014/COCO_{train,val}2014_000000000001.jpg
folder/vsr/{train,dev,test}.jsonl, folder/vsr/images/000000200001.jpg
folder/{vqa,vsr}/instances_{train2014,val2014,train2017}.json   COCO's: where everything is
folder/text.jsonl               plain text, for the language model alone
folder/{vqa,vsr}/truth.jsonl    what only a drawn world knows: the kind, relation and cells of
                                each question, and the scene; the official files stay official
"""

import json
from pathlib import Path
from random import Random

import numpy as np

from feature_atlas.toy import vqa_format, vsr_format
from feature_atlas.toy.balance import Balance
from feature_atlas.toy.draw import save_picture
from feature_atlas.toy.instance_format import write_instances
from feature_atlas.toy.plain_text import write_plain_text
from feature_atlas.toy.questions import Question, ask_some
from feature_atlas.toy.scene import Scene, random_scene

# Real VQAv2 is mostly not spatial; here 23 in 100 questions are, and about half are yes/no.
VQA_KINDS = {
    "spatial": 23.0,
    "exists": 10.0,
    "attribute": 9.0,
    "sign_exists": 4.0,
    "sign_says": 8.0,
    "where": 11.0,
    "count": 10.0,
    "colour": 10.0,
    "shape": 9.0,
    "sign": 10.0,
    "describe": 1.5,
    "positions": 1.5,
}
VSR_KINDS = {"statement": 1.0}
# Image ids say where a picture belongs, and never collide: COCO's ids are shared by VQA and VSR.
FIRST_IMAGE_ID = {"train": 1, "val": 100_001, "vsr": 200_001}
# Of ten VSR images, as in the official random split.
VSR_SPLIT = ("train",) * 7 + ("dev",) + ("test",) * 2


def write_world(
    folder: Path,
    *,
    seed: int,
    n_train_images: int,
    n_val_images: int,
    n_vsr_images: int,
    n_questions: int = 6,
    n_statements: int = 3,
    n_text_scenes: int = 100,
) -> Path:
    """Draw scenes, ask about them, write everything; the same seed writes the same bytes.

    `n_questions` VQA questions and `n_statements` VSR statements are asked of each image, 13 of
    each of the `n_text_scenes` scenes in words.
    """
    for split, n_images in (("train", n_train_images), ("val", n_val_images)):
        _write_vqa(folder / "vqa", split, n_images, n_questions, seed)
    _write_vsr(folder / "vsr", n_vsr_images, n_statements, seed)
    write_plain_text(folder / "text.jsonl", seed, n_text_scenes)
    return folder


def _write_vqa(folder: Path, split: str, n_images: int, n_questions: int, seed: int) -> None:
    random, noise = _randomness(seed, split)
    balance, asked, pictured = Balance(), [], []
    for image_id in range(FIRST_IMAGE_ID[split], FIRST_IMAGE_ID[split] + n_images):
        scene, name = random_scene(random), vqa_format.image_name(split, image_id)
        save_picture(folder / f"{split}2014" / name, scene, noise)
        pictured.append((image_id, name, scene))
        questions = ask_some(scene, VQA_KINDS, n_questions, balance, random)
        asked += [(image_id, number, scene, q) for number, q in enumerate(questions)]
    write_instances(folder / f"instances_{split}2014.json", pictured)
    vqa_format.write_questions(folder, split, [(i, n, q) for i, n, _, q in asked])
    vqa_format.write_annotations(folder, split, [(i, n, q) for i, n, _, q in asked])
    _write_truth(
        folder / "truth.jsonl",
        [
            {"question_id": vqa_format.question_id(image_id, number), "image_id": image_id}
            | {"split": split}
            | _truth(scene, question)
            for image_id, number, scene, question in asked
        ],
        append=split == "val",
    )


def _write_vsr(folder: Path, n_images: int, n_statements: int, seed: int) -> None:
    random, noise = _randomness(seed, "vsr")
    balance = Balance()
    rows: dict[str, list[dict]] = {"train": [], "dev": [], "test": []}
    truths, pictured = [], []
    for number in range(n_images):
        scene, image_id = random_scene(random), FIRST_IMAGE_ID["vsr"] + number
        save_picture(folder / "images" / vsr_format.image_name(image_id), scene, noise)
        pictured.append((image_id, vsr_format.image_name(image_id), scene))
        split = VSR_SPLIT[number % len(VSR_SPLIT)]
        for question in ask_some(scene, VSR_KINDS, n_statements, balance, random):
            row = vsr_format.statement_row(image_id, question, random)
            rows[split].append(row)
            key = {"image": row["image"], "caption": row["caption"], "split": split}
            truths.append(key | _truth(scene, question))
    vsr_format.write_splits(folder, rows)
    write_instances(folder / "instances_train2017.json", pictured)
    _write_truth(folder / "truth.jsonl", truths)


def _randomness(seed: int, part: str) -> tuple[Random, np.random.Generator]:
    """Independent per part, so that more training images do not change the validation images."""
    number = FIRST_IMAGE_ID[part]
    return Random(f"{seed}/{part}"), np.random.default_rng([seed, number])


def _truth(scene: Scene, question: Question) -> dict:
    sign = scene.sign and {"letter": scene.sign.letter, "cell": scene.sign.cell}
    return {
        "kind": question.kind,
        "relation": question.relation,
        "answer": question.answer,
        "cells": list(question.cells),
        "things": [vars(thing) for thing in scene.things],
        "sign": sign,
    }


def _write_truth(path: Path, rows: list[dict], append: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a" if append else "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
