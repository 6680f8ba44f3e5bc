"""What is removed for a feature of a layer: itself in several ways, and its controls (5.3, D)."""

from collections.abc import Collection
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from feature_atlas.ablation.control import (
    matched_controls,
    mean_projection,
    random_controls,
    random_directions,
    variance_factor,
)
from feature_atlas.ablation.intervention import Edit, directional, scaled, subtraction, to_mean
from feature_atlas.dictionary.sae import Encoder, Sae, unit_directions
from feature_atlas.etl.stages.dictionary.adapt import adapted_sae
from feature_atlas.etl.stages.features.harvest import BASE
from feature_atlas.etl.stages.features.selection import by_layer
from feature_atlas.etl.study import Study
from feature_atlas.vlm.harvest import harvest
from feature_atlas.vlm.token_roles import TEXT_ROLES

N_PROJECTION = 256
"""Base questions over which projections are averaged: for controls, and for the mean."""


@lru_cache(maxsize=1)
def base_residual(study: Study, layer: int) -> Float[Tensor, "token d_model"]:
    """A layer's output on text tokens of some base questions."""
    parts = [
        harvest(study.vlm.model, batch, [layer]).only(TEXT_ROLES).residuals[layer]
        for batch, _ in study.prompts(study.samples[BASE][:N_PROJECTION])
    ]
    return torch.cat(parts).float()


class Intervention(NamedTuple):
    """One edit made for a feature."""

    feature: int
    """The feature in question."""
    intervention: str = "directional"
    """As in table `ablation`."""
    control_no: int = 0
    """0: the feature itself."""
    control_kind: str | None = None
    """matched, random or direction, of a control."""
    control_feature: int | None = None
    """Whose direction is removed instead."""


class LayerInterventions:
    """The edits of one layer; what they need is computed once."""

    def __init__(self, study: Study, layer: int, features: list[int]) -> None:
        self.study, self.layer, self.features = study, layer, features
        self.sae: Sae = adapted_sae(study, "text", layer)
        self.directions = unit_directions(self.sae)

    @property
    def residual(self) -> Float[Tensor, "token d_model"]:
        """The layer's output on text tokens of some base questions."""
        return base_residual(self.study, self.layer)

    @cached_property
    def projection(self) -> Float[np.ndarray, " feature"]:
        """Mean |y . v| of every feature of the layer."""
        return mean_projection(self.residual, self.directions).cpu().numpy()

    @cached_property
    def firing_rate(self) -> Float[np.ndarray, " feature"]:
        """Of every feature of the layer, on text tokens after the image."""
        rates = by_layer(self.study, "visual_energy", "visual_energy", "firing_rate")
        return np.asarray(rates[self.study.layers.index(self.layer)])

    @cached_property
    def encoder(self) -> Encoder:
        """Of the adapted dictionary."""
        return Encoder.of(self.sae)

    def matched(self, feature: int, n: int, taken: Collection[int] = ()) -> list[int]:
        """Features that fire as often and project as much, none in question and none taken.

        None at all for a feature that fires on no base question: as often is never.
        """
        if not self.firing_rate[feature] > 0:
            return []
        return matched_controls(
            self.firing_rate,
            self.projection,
            feature,
            n=n,
            seed=self._seed(feature),
            exclude=[*self.features, *taken],
        ).features

    def controls(self, feature: int) -> list[Intervention]:
        """Every control of a feature, numbered from 1."""
        config = self.study.config.ablation
        drawn: list[tuple[str, int | None]] = [
            ("matched", f) for f in self.matched(feature, config.n_controls)
        ]
        at_random = random_controls(
            len(self.directions),
            n=config.n_random_controls,
            seed=self._seed(feature),
            exclude=self.features,
        )
        drawn += [("random", f) for f in at_random]
        drawn += [("direction", None)] * config.n_direction_controls
        return [
            Intervention(feature, "directional", number, kind, control)
            for number, (kind, control) in enumerate(drawn, start=1)
        ]

    def edit(self, removal: Intervention) -> Edit:
        """What is done to the layer's output."""
        feature = removal.feature if removal.control_feature is None else removal.control_feature
        direction = self.directions[feature]
        if removal.control_kind == "direction":
            return self._random_edit(removal)
        if removal.intervention == "mean_projection":
            return to_mean(direction, float((self.residual @ direction).mean()))
        if removal.intervention == "feature_subtraction":
            return subtraction(self.sae, self.encoder, feature)
        if removal.intervention == "base_direction":
            return directional(unit_directions(self.study.base[self.layer])[feature])
        return directional(direction)

    def _random_edit(self, removal: Intervention) -> Edit:
        n, seed = removal.control_no, self._seed(removal.feature)
        other = random_directions(self.directions.shape[1], n=n, seed=seed)[-1].to(self.directions)
        direction = self.directions[removal.feature]
        return scaled(other, variance_factor(self.residual, direction, other))

    def _seed(self, feature: int) -> int:
        return self.study.config.seed + feature
