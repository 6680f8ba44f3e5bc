"""Who encodes a pass: the float32 product, or the bfloat16 one with a proof for every token.

Both give the same codes; `harvest.encoder` chooses by speed. The certified one, of which each kind
of gate has its own, counts the tokens it had to leave to the float32 product; the stage keeps these
counts in `certified.npz`.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from feature_atlas.dictionary.certified import CertifiedEncoder
from feature_atlas.dictionary.certified_threshold import CertifiedThreshold
from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Encoder, Sae
from feature_atlas.etl.run_folder.artifacts import StageOutput
from feature_atlas.etl.stages.dictionary.adapt import adapted_sae
from feature_atlas.etl.study import Study

log = logging.getLogger(__name__)

Certified = CertifiedEncoder | CertifiedThreshold
AnyEncoder = Encoder | Certified


def certified(sae: Sae) -> Certified:
    """The certified encoder of the dictionary's kind of gate."""
    is_topk = isinstance(sae.gate, TopK)
    return CertifiedEncoder.of(sae) if is_topk else CertifiedThreshold.of(sae)


ENCODERS: dict[str, Callable[[Sae], AnyEncoder]] = {"exact": Encoder.of, "certified": certified}


class Encoded(NamedTuple):
    """How many tokens were encoded with a proof."""

    tokens: int
    """All that were tried; 0 where the encoder is the float32 product itself."""
    fallbacks: int
    """Those of them that were left to it."""

    @classmethod
    def by(cls, encoder: AnyEncoder) -> "Encoded":
        """What an encoder has done so far."""
        if not isinstance(encoder, Certified):
            return cls(0, 0)
        return cls(int(encoder.tokens), int(encoder.fallbacks))

    def plus(self, other: "Encoded") -> "Encoded":
        """Both together."""
        return Encoded(self.tokens + other.tokens, self.fallbacks + other.fallbacks)


def text_encoders(study: Study, layers: Sequence[int]) -> dict[int, AnyEncoder]:
    """The encoder of each layer's text-adapted dictionary, as the configuration wants it.

    Dictionaries leave: of a large model one takes as much as its encoder, which lies beside it.
    """
    encoder_of, encoders = ENCODERS[study.config.harvest.encoder], {}
    for layer in layers:
        study.forget_dictionaries()
        encoders[layer] = encoder_of(adapted_sae(study, "text", layer))
    study.forget_dictionaries()
    return encoders


def write_fallbacks(output: StageOutput, encoded: Mapping[int, Encoded]) -> None:
    """Write down, per layer, how many tokens were encoded and how many could not be certified."""
    counted = {layer: of for layer, of in encoded.items() if of.tokens}
    if not counted:
        return
    tokens = np.array([of.tokens for of in counted.values()])
    fallbacks = np.array([of.fallbacks for of in counted.values()])
    output.arrays("certified", layer=np.array(list(counted)), tokens=tokens, fallbacks=fallbacks)
    share = fallbacks.sum() / max(tokens.sum(), 1)
    log.info("%.2f %% of %d codes were left to the float32 product", 100 * share, tokens.sum())
