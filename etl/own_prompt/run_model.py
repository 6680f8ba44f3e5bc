"""The model and dictionaries of a published run, taken from its folder and kept for many prompts.

Nothing but the run's configuration says where they are. Dictionaries are read a layer at a time;
as many encoders stay as half of what is free beside the model holds, the others are read again.
"""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import torch
from PIL import Image
from rich.progress import track
from torch import Tensor

from feature_atlas.dictionary.sae import Encoder
from feature_atlas.etl.inputs.checkpoints import vlm_folder
from feature_atlas.etl.inputs.device import main_memory
from feature_atlas.etl.inputs.fingerprint import fingerprint_folder
from feature_atlas.etl.inputs.pictures import open_image
from feature_atlas.etl.run_folder.artifacts import file_sha256, read_table
from feature_atlas.etl.stages.dictionary.adapt import adapted_sae
from feature_atlas.etl.stages.features.selection import by_layer
from feature_atlas.etl.study import Study, open_study
from feature_atlas.etl.warehouse.runs import RunName
from feature_atlas.features.prompt_activations import UsualStrength, usual_strength
from feature_atlas.vlm.measured_geometry import UnknownGeometryError
from feature_atlas.vlm.token_boxes import Boxes, token_boxes
from feature_atlas.vlm.token_roles import TEXT_ROLES, Role

STAGE = "visual_energy"
"""Counted how often and how strongly every feature fires."""


def run_study(home: Path, run: RunName) -> Study:
    """The run's folder, with the model that the run was built with and no other."""
    folder = home / "runs" / run.slug
    if not (folder / "inputs.json").is_file():
        raise FileNotFoundError(
            f"no {folder / 'inputs.json'}: a custom prompt needs the folder in which {run.slug} "
            "was built, with its dictionaries. Set ATLAS_HOME to where it is."
        )
    study = open_study(folder)
    if study.inputs["config_hash"] != run.config_hash:
        raise ValueError(
            f"{folder} has config_hash {study.inputs['config_hash']}, the run in the database "
            f"{run.config_hash}: not the folder it was built in."
        )
    came = fingerprint_folder(vlm_folder(study.config.vlm))
    if came != study.inputs["fingerprints"]["vlm"]:
        raise ValueError(
            f"the model at {study.config.vlm.path} is not the one that {run.slug} was built with "
            "(other fingerprint): put that one back, or build a new run."
        )
    return study


class RunModel:
    """A run's model, and what is known of its features, for one prompt after another."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.kept: dict[int, Encoder] = {}

    @property
    def device(self) -> str:
        """Where the model is."""
        return self.study.config.device

    @property
    def d_sae(self) -> int:
        """Features of a layer."""
        return int(self.study.inputs["sae_set"]["d_sae"])

    @cached_property
    def room(self) -> float:
        """Bytes for encoders, once the model has taken its own."""
        _ = self.study.vlm
        if self.device.startswith("cuda"):
            return torch.cuda.mem_get_info(self.device)[0] / 2
        return main_memory() / 4

    def encoder(self, layer: int) -> Encoder:
        """Of the text-adapted dictionary: the one that the run's numbers are of."""
        if layer in self.kept:
            return self.kept[layer]
        encoder = Encoder.of(adapted_sae(self.study, "text", layer))
        if (len(self.kept) + 1) * encoder.weight.nbytes <= self.room:
            self.kept[layer] = encoder
        return encoder

    def read_all(self) -> int:
        """Model, and dictionaries as far as there is room for all: how many there is room for."""
        for layer in track(self.study.layers, "reading dictionaries"):
            self.encoder(layer)
        _ = self._usual, self._pictures
        return len(self.kept)

    def usual(self, layer: int) -> UsualStrength:
        """How strongly each feature of a layer fired in the run when it did."""
        row = self.study.layers.index(layer)
        return UsualStrength(*(of_kind[row].to(self.device) for of_kind in self._usual))

    @cached_property
    def _usual(self) -> UsualStrength:
        """Of all layers."""
        return UsualStrength(
            image=self._usual_on("image", [Role.IMAGE]),
            text=self._usual_on("question", TEXT_ROLES),
        )

    def _usual_on(self, part: str, roles: Sequence[Role]) -> Tensor:
        energy, fired = (
            torch.from_numpy(by_layer(self.study, STAGE, STAGE, f"{count}_{part}").copy())
            for count in ("energy", "fired")
        )
        return usual_strength(energy, sum(self._n_tokens.get(role, 0) for role in roles), fired)

    @cached_property
    def _n_tokens(self) -> dict[Role, int]:
        """Of each role that energies are means over; every layer saw the same."""
        columns = ["layer", "condition", "role", "n_tokens"]
        rows = read_table(self.study.run, STAGE, "role_energy", columns).to_pylist()
        return {
            Role[row["role"].upper()]: row["n_tokens"]
            for row in rows
            if row["layer"] == self.study.layers[0] and row["condition"] == "real"
        }

    def boxes(self, width: int, height: int) -> Boxes | None:
        """Where the image tokens of a picture of this size lie; None: nobody knows."""
        return _boxes(self.study, width, height)

    def picture(self, sha256: str) -> Image.Image:
        """The run's own picture with this hash."""
        if sha256 not in self._pictures:
            raise FileNotFoundError(f"run {self.study.run.name} has no picture {sha256[:64]!r}.")
        file = self._pictures[sha256]
        picture = open_image(file)
        if file_sha256(file) != sha256:
            raise ValueError(f"{file} has changed since {self.study.run.name} was built.")
        return picture

    @cached_property
    def _pictures(self) -> dict[str, Path]:
        """The files of the run's pictures, by hash."""
        rows = read_table(self.study.run, "samples", "image", ["sha256", "uri"]).to_pylist()
        return {row["sha256"]: Path(row["uri"]) for row in rows}


@lru_cache(maxsize=256)
def _boxes(study: Study, width: int, height: int) -> Boxes | None:
    """Measured once for each size."""
    try:
        return token_boxes(study.vlm.model, study.vlm.processor, width, height).boxes
    except UnknownGeometryError:
        return None
