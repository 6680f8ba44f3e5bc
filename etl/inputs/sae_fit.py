"""Whether a set of SAEs can be read and fits the model, without loading the model's weights."""

from transformers import PreTrainedModel

from feature_atlas.dictionary.gate import require_one_kind
from feature_atlas.etl.config.inputs import SaeConfig
from feature_atlas.etl.inputs.saes import load_base_saes


def require_fit(config: SaeConfig, skeleton: PreTrainedModel) -> int:
    """Features of each layer; raises what `build` would: truncated, not finite, too wide.

    One layer is in memory at a time.
    """
    sizes, gates = set(), {}
    for layer in config.layers:
        alone = config.model_copy(update={"layers": (layer,)})
        (sae,) = load_base_saes(alone, skeleton, "cpu").values()
        sizes.add(len(sae.w_dec))
        gates[layer] = sae.gate
    require_one_kind(gates)
    if len(sizes) != 1:
        raise ValueError(f"base SAEs have {sorted(sizes)} features: expected one size for all.")
    return sizes.pop()
