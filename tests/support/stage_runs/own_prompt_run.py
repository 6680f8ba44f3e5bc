"""A run of a random model with random dictionaries, as far as prompts of one's own need it."""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from bare_run import write_inputs, write_part
from families import WIDTH, family
from PIL import Image

from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Sae
from feature_atlas.etl.inputs.checkpoints import Vlm
from feature_atlas.etl.own_prompt import run_model
from feature_atlas.etl.own_prompt.run_model import RunModel
from feature_atlas.etl.run_folder.artifacts import StageOutput, run_stage

LAYERS, D_SAE, K = (0, 1), 64, 4
N_TOKENS = {"image": 40, "question": 20, "suffix": 6, "header": 4, "prefix": 100}
SILENT = 5
"""A feature that the run never saw fire on a picture."""


class RandomStudy:
    """What a study is to prompts of one's own."""

    def __init__(self, folder: Path, layers: tuple[int, ...], device: str) -> None:
        self.inputs = {"sae_set": {"d_sae": D_SAE}}
        self.run, self.layers = folder, list(layers)
        model, processor = family("llava")
        self.vlm = Vlm(model.to(device), processor)
        vlm = SimpleNamespace(suffix="answer yes or no", name="random-llava")
        self.config = SimpleNamespace(device=device, vlm=vlm)


class RandomRun(NamedTuple):
    """A run of random numbers."""

    model: RunModel
    saes: dict[int, Sae]
    """Adapted dictionaries by layer."""
    known: dict[str, np.ndarray]
    """Columns of the table visual_energy."""
    pictures: list[Path]


def random_run(
    folder: Path,
    patch: pytest.MonkeyPatch,
    layers: tuple[int, ...] = LAYERS,
    device: str = "cpu",
) -> RandomRun:
    """Write what is known of it into the folder; its dictionaries stay in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    write_inputs(folder, layers, D_SAE)
    torch.manual_seed(3)
    saes = {layer: _sae().to(device) for layer in layers}
    patch.setattr(run_model, "adapted_sae", lambda study, regime, layer: saes[layer])
    known = _known(len(layers))
    pictures = [_picture(folder / f"{number}.png", number) for number in range(2)]
    roles = {
        "layer": np.repeat(layers, len(N_TOKENS)),
        "condition": ["real"] * len(layers) * len(N_TOKENS),
        "role": [*N_TOKENS] * len(layers),
        "n_tokens": [*N_TOKENS.values()] * len(layers),
    }
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in pictures]
    image = {"sha256": hashes, "uri": list(map(str, pictures))}

    def energies(output: StageOutput) -> None:
        write_part(output, "visual_energy", known)
        write_part(output, "role_energy", roles)

    run_stage(folder, "visual_energy", params={}, reads=[], body=energies)
    run_stage(
        folder, "samples", params={}, reads=[], body=lambda out: write_part(out, "image", image)
    )
    return RandomRun(RunModel(RandomStudy(folder, layers, device)), saes, known, pictures)


def _known(n_layers: int) -> dict[str, np.ndarray]:
    draws, n = np.random.default_rng(1), n_layers * D_SAE
    fired = draws.integers(1, 20, n)
    is_silent = np.tile(np.arange(D_SAE), n_layers) == SILENT
    return {
        "energy_image": draws.random(n).astype(np.float32),
        "fired_image": np.where(is_silent, 0, fired),
        "energy_question": draws.random(n).astype(np.float32),
        "fired_question": fired[::-1].copy(),
    }


def _sae() -> Sae:
    return Sae(
        torch.randn(WIDTH, D_SAE),
        torch.randn(D_SAE),
        torch.randn(D_SAE, WIDTH),
        torch.zeros(WIDTH),
        TopK(K),
        scale=0.7,
    )


def _picture(file: Path, seed: int) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 255, (28, 56, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    return file
