"""Layers whose encoders and sums are on the device together; no number depends on it."""

import torch
from torch.utils._pytree import tree_leaves

from feature_atlas.etl.inputs.device import device_memory
from feature_atlas.etl.stages.features.harvest_sums import empty_sums
from feature_atlas.etl.stages.features.skills import BASE
from feature_atlas.etl.study import Study


def layer_groups(study: Study, times: int = 1) -> list[list[int]]:
    """The layers in order: as many together as are configured, or fit.

    ``times`` as much is held of each as the harvest holds.
    """
    n = max(1, (study.config.harvest.layers_at_once or _layers_that_fit(study)) // times)
    n_groups = -(-len(study.layers) // n)
    size = -(-len(study.layers) // n_groups)
    return [study.layers[i : i + size] for i in range(0, len(study.layers), size)]


def encoder_bytes(d_model: int, d_sae: int) -> int:
    """Of one layer's encoder in float32, and its copy in bfloat16 (`certified`)."""
    return 6 * d_sae * d_model


def _layers_that_fit(study: Study) -> int:
    """Encoders and sums may fill half of what is free: the rest is for prompts and their codes."""
    device = torch.device(study.config.device)
    model = study.vlm.model  # its weights take their room before what is left is counted
    d_sae, d_model = study.inputs["sae_set"]["d_sae"], study.inputs["sae_set"]["d_model"]
    sums = empty_sums(study, d_sae, BASE, "real")
    one = encoder_bytes(d_model, d_sae) + sum(tensor.nbytes for tensor in tree_leaves(sums))
    del sums
    if device.type == "cuda":
        torch.cuda.empty_cache()
        free = torch.cuda.mem_get_info(device)[0]
    else:  # what is free there, the system alone knows
        free = device_memory(str(device)) - sum(weight.nbytes for weight in model.parameters())
    return max(1, free // (2 * one))
