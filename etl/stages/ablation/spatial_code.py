"""Stage `spatial_code`: is there a linear code of where the named objects are? (beside 5.3)

Objects that VSR's statements name unambiguously have a place where `data.instances` knows their
boxes (VSR's pictures are COCO's). The code is made in every layer from training statements. How
well places are read, with and without it, is asked on test statements alone: a readout is fitted
on those about one half of their pictures and judged on the other. (Fitted on what the code was made
of, it would find nothing by construction.)
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from feature_atlas.ablation.spatial_code import Objects, erased, position_code, readout_r2
from feature_atlas.etl.inputs.data_sets import read_objects
from feature_atlas.etl.inputs.instances import Instance, Instances
from feature_atlas.etl.inputs.pictures import Size
from feature_atlas.etl.inputs.samples import draw
from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, read_arrays, run_stage
from feature_atlas.etl.stages.ablation.evaluation_sets import SCORED
from feature_atlas.etl.stages.features.skills import STATEMENTS
from feature_atlas.etl.study import Study, open_study
from feature_atlas.vlm.harvest import harvest
from feature_atlas.vlm.name_tokens import name_tokens
from feature_atlas.vlm.token_roles import TEXT_ROLES

FEWEST = 20
"""Named objects of known place, in training and in test statements: fewer say nothing."""


class Located(NamedTuple):
    """Named objects of a split's statements."""

    h: dict[int, Float[np.ndarray, "object d_model"]]
    """By layer."""
    p: Float[np.ndarray, "object 2"]
    order: Int[np.ndarray, " object"]
    image: Int[np.ndarray, " object"]
    """Number of its picture."""

    def at(self, layer: int) -> Objects:
        """In one layer."""
        return Objects(self.h[layer], self.p, self.order)

    def halves(self, layer: int) -> tuple[Objects, Objects]:
        """Of every second picture, and of the others."""
        places = np.unique(self.image, return_inverse=True)[1]
        one, other = (self.at(layer).only(places % 2 == half) for half in (0, 1))
        return one, other


def run_spatial_code(run: Path) -> Stage:
    """A row per layer; none where no place is known."""
    study = open_study(run)
    return run_stage(
        run,
        "spatial_code",
        params={**study.config.spatial_code.model_dump(), "seed": study.config.seed},
        reads=["samples"],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    if study.config.spatial_code.max_features == 0:
        return
    if not study.config.data.instances:
        output.warn("no data.instances: no place of a named object is known (spatial_code)")
        return
    train, unseen = output.in_shards(locate, [STATEMENTS, SCORED])
    if train is None or unseen is None:
        output.warn(
            f"fewer than {FEWEST} objects of known place are named in training statements, or in "
            "test statements: too few for a code of places (spatial_code)"
        )
        return
    codes = {layer: _codes(study, train.at(layer)) for layer in study.layers}
    output.table("spatial_code", _columns(train, unseen, codes))
    output.arrays("codes", code=np.stack([codes[layer] for layer in study.layers]))


def read_codes(study: Study, layer: int) -> Float[np.ndarray, "control row d_model"] | None:
    """The layer's code, then those of shuffled places; None where no code was made."""
    if not (study.run / "spatial_code" / "codes.npz").is_file():
        return None
    codes = read_arrays(study.run, "spatial_code", "codes")["code"]
    of_layer: Float[np.ndarray, "control row d_model"] = codes[study.layers.index(layer)]
    return of_layer


def locate(run: Path, split: str) -> Located | None:
    """A shard: the objects that statements of a split name; None: they are too few."""
    study = open_study(run)
    instances = read_objects(study.config.data.instances, study.data_sets)
    assert instances is not None
    found = located(study, split, instances)
    return found if found is not None and len(found.p) >= FEWEST else None


@torch.no_grad()
def located(study: Study, split: str, instances: Instances) -> Located | None:
    """The same, with what is known of the pictures; None: there are none."""
    rows = [
        (sample, named)
        for sample in study.samples[split]
        for named in [instances.named(sample)]
        if named
    ]
    rows = draw(rows, study.config.spatial_code.n_statements, study.config.seed)
    h: dict[int, list[torch.Tensor]] = {layer: [] for layer in study.layers}
    p: list[tuple[float, float]] = []
    order: list[int] = []
    image: list[int] = []
    tokenizer = study.vlm.processor.tokenizer
    pictures: dict[Path, int] = {}
    for sample, _ in rows:
        pictures.setdefault(sample.image, len(pictures))
    for batch, numbers in study.prompts([sample for sample, _ in rows]):
        tokens = harvest(study.vlm.model, batch, study.layers, roles=TEXT_ROLES)
        is_text = torch.isin(batch.roles, torch.tensor(TEXT_ROLES, device=batch.roles.device))
        at = torch.full_like(batch.roles, -1, dtype=torch.long)
        at[is_text] = torch.arange(int(is_text.sum()), device=at.device)
        for row, number in enumerate(numbers):
            sample, known = rows[number]
            boxes = {one.name: one for one in known}
            mentions = name_tokens(tokenizer, batch, row, list(boxes))
            for place, mention in enumerate(mentions):
                p.append(_centre(boxes[mention.name], instances.sizes[sample.image]))
                order.append(place)
                image.append(pictures[sample.image])
                for layer in study.layers:
                    h[layer].append(tokens.residuals[layer][at[row, mention.token]].float().cpu())
    if not p:
        return None
    return Located(
        {layer: torch.stack(of_layer).numpy() for layer, of_layer in h.items()},
        np.array(p, np.float64),
        np.array(order, np.int64),
        np.array(image, np.int64),
    )


def _centre(one: Instance, size: Size) -> tuple[float, float]:
    x, y = one.box.left + one.box.right, one.box.top + one.box.bottom
    return x / 2 / size.width, y / 2 / size.height


def _codes(study: Study, train: Objects) -> Float[np.ndarray, "control 2 d_model"]:
    """The code, then those of places that were dealt out anew; rows that lack are zero."""
    dice = np.random.default_rng(study.config.seed)
    dealt = [
        train._replace(p=train.p[dice.permutation(len(train.p))])
        for _ in range(study.config.spatial_code.n_shuffled)
    ]
    codes = np.zeros((1 + len(dealt), 2, train.h.shape[1]))
    for place, objects in enumerate([train, *dealt]):
        code = position_code(objects)
        codes[place, : len(code)] = code
    return codes


def _columns(
    train: Located, unseen: Located, codes: dict[int, Float[np.ndarray, "control 2 d_model"]]
) -> dict[str, Any]:
    read = {name: list[float]() for name in ("r2_x", "r2_y", "r2_x_erased", "r2_y_erased")}
    for layer, of_layer in codes.items():
        fitted, judged = unseen.halves(layer)
        without = (erased(fitted, of_layer[0]), erased(judged, of_layer[0]))
        for end, pair in (("", (fitted, judged)), ("_erased", without)):
            for name, value in zip("xy", readout_r2(*pair), strict=True):
                read[f"r2_{name}{end}"].append(value)
    n = len(codes)
    return {
        "layer": np.array(list(codes), np.int16),
        "n_objects_train": np.full(n, len(train.p)),
        "n_objects_held_out": np.full(n, len(unseen.p)),
        "n_images_train": np.full(n, len(np.unique(train.image))),
        **{name: np.array(values) for name, values in read.items()},
    }
