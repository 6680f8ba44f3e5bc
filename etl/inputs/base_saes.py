"""The base dictionaries of a run: one after another from their files, some kept in main memory.

All of a large model's would fill the device, and half of a machine's memory.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

from transformers import PreTrainedModel

from feature_atlas.dictionary.gate import Gate, TopK, require_one_kind
from feature_atlas.dictionary.sae import Sae
from feature_atlas.etl.config.inputs import SaeConfig
from feature_atlas.etl.inputs.newest import Newest
from feature_atlas.etl.inputs.saes import load_base_sae, sae_folder
from feature_atlas.vlm.decoder_inputs import text_model
from feature_atlas.vlm.residual_stream import decoder_layers

KEPT_BYTES = 10**9
"""Of dictionaries that were asked for; the last one is always kept. Of a large model's each is as
much, and stages go layer by layer."""


class BaseFacts(NamedTuple):
    """What all base dictionaries are, in the order of the layers."""

    gates: list[Gate]
    scales: list[float]
    d_model: int
    d_sae: int


class BaseSaes(Mapping[int, Sae]):
    """By layer, on the device, in the normalised space, each checked against the model.

    Of the model only depth and width are read: its weights need not be loaded.
    """

    def __init__(self, config: SaeConfig, model: PreTrainedModel, device: str) -> None:
        self.config, self.device = config, device
        self.depth, self.width = len(decoder_layers(model)), text_model(model).config.hidden_size
        self.kept: Newest[int, Sae] = Newest(KEPT_BYTES, lambda sae: sae.n_bytes)

    def __getitem__(self, layer: int) -> Sae:
        return self.in_main_memory(layer).to(self.device)

    def __iter__(self) -> Iterator[int]:
        return iter(self.config.layers)

    def __len__(self) -> int:
        return len(self.config.layers)

    def in_main_memory(self, layer: int) -> Sae:
        """The dictionary of a layer; the longest unused make room."""
        if layer not in self.config.layers:
            raise KeyError(layer)
        return self.kept.taken_or_read(layer, lambda: self._read(layer))

    @cached_property
    def facts(self) -> BaseFacts:
        """Of all layers; reads every file once, and refuses what does not fit together."""
        gates, scales, sizes = {}, [], set()
        for layer in self:
            sae = self.in_main_memory(layer)
            gates[layer] = sae.gate
            scales.append(sae.scale)
            sizes.add(len(sae.w_dec))
        require_one_kind(gates)
        if len(sizes) != 1:
            raise ValueError(f"base SAEs have {sorted(sizes)} features: expected one size for all.")
        return BaseFacts(list(gates.values()), scales, self.width, sizes.pop())

    def _read(self, layer: int) -> Sae:
        if layer >= self.depth:
            raise ValueError(
                f"layer {layer} asked for, the model has {self.depth} layers: "
                f"expected 0 to {self.depth - 1} in sae.layers."
            )
        sae, place = load_base_sae(self.config, layer), sae_folder(self.config, layer)
        if sae.w_enc.shape[0] != self.width:
            raise ValueError(
                f"base SAE of layer {layer} ({place}) takes residuals of width "
                f"{sae.w_enc.shape[0]}, the model's are {self.width} wide: "
                "use the SAEs of this model's language model."
            )
        if isinstance(sae.gate, TopK) and sae.gate.k > len(sae.w_dec):
            raise ValueError(
                f"base SAE of layer {layer} ({place}) fires {sae.gate.k} of {len(sae.w_dec)} "
                "features on a token: expected at most all of them."
            )
        return sae
