"""Two more benches of the tiny world, in the official files of What'sUp and GQA.

folder/whatsup/controlled_{images,clevr}_dataset.json and their pictures
folder/gqa/val_balanced_questions.json and images/
"""

from pathlib import Path
from random import Random

import numpy as np

from feature_atlas.toy.gqa_format import write_gqa
from feature_atlas.toy.whatsup_format import write_whatsup


def write_benches(folder: Path, *, seed: int, n_images: int) -> Path:
    """So many pictures of either set of What'sUp, and of GQA; the same seed, the same bytes."""
    for number, (name, write) in enumerate((("whatsup", write_whatsup), ("gqa", write_gqa))):
        random, noise = Random(f"{seed}/{name}"), np.random.default_rng([seed, 300_001 + number])
        write(folder / name, n_images, random, noise)
    return folder
