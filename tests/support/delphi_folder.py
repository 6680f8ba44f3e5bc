"""A small folder of Delphi's results, with its own names of files and fields."""

import json
from pathlib import Path
from typing import Any

# what each scorer said of an example on which the latent fires or not; null: unreadable
SCORES = {
    ("detection", "layers.0_latent5"): [(1, True), (1, True), (1, False), (0, False), (0, True)],
    ("fuzz", "layers.0_latent5"): [(1, True), (1, None), (0, False), (0, None), (0, False)],
    ("detection", "layers.1_latent63"): [(1, False), (0, False)],
}
EXPLANATIONS = {
    "layers.0_latent5": 'Words for "left" and\nright.',
    "layers.1_latent63": "Éclairs",
    "layers.1_latent2": "Nobody scored this.",
}


def write_delphi(folder: Path) -> Path:
    """Three explanations, two of them scored; returns the folder."""
    config = {
        "model": "meta-llama/Meta-Llama-3-8B",
        "sparse_model": "EleutherAI/sae-llama-3-8b-32x",
        "hookpoints": ["layers.0", "layers.1"],
        "explainer_model": "hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4",
        "seed": 22,
    }
    write(folder / "run_config.json", config)
    for latent, said in EXPLANATIONS.items():
        write(folder / "explanations" / f"{latent}.txt", said)
    for (scorer, latent), answers in SCORES.items():
        write(folder / "scores" / scorer / f"{latent}.txt", [example(*a) for a in answers])
    return folder


def write(file: Path, value: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value))


def example(firing: int, answer: bool | None) -> dict[str, Any]:
    """One scored example with Delphi's fields."""
    return {
        "str_tokens": ["the", " left"],
        "activations": [0.0, 2.5 * firing],
        "distance": 1 if firing else -1,
        "activating": bool(firing),
        "prediction": answer,
        "probability": None,
        "correct": None if answer is None else answer == bool(firing),
    }
