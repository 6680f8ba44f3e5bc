"""What the first stage of a run would find of its forward pass: the weights are read for it."""

from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.inputs.checkpoints import load_vlm
from feature_atlas.etl.inputs.data_sets import read_data_sets
from feature_atlas.etl.inputs.pictures import open_image
from feature_atlas.etl.opening.looks import Check, Looks
from feature_atlas.etl.stages.vlm.forward_check import N_PROMPTS, agreement
from feature_atlas.vlm.forward_check import Agreement
from feature_atlas.vlm.token_roles import encode_prompts


def look_at_forward(config: RunConfig) -> Check:
    """Whether every way of running the model gives what it gives by itself."""
    looks = Looks()
    looks.at("forward pass", lambda: _agreement(config), _said)
    return looks.checks[0]


def _agreement(config: RunConfig) -> list[Agreement]:
    vlm = load_vlm(config.vlm, config.device)
    samples = read_data_sets(config.data).samples["vqav2-val"][:N_PROMPTS]
    batch = encode_prompts(
        vlm.processor,
        [sample.question for sample in samples],
        [open_image(sample.image) for sample in samples],
        suffix=config.vlm.suffix,
    )
    return agreement(vlm.model, [batch.to(config.device)], config.sae.layers)


def _said(found: list[Agreement]) -> str:
    worst: dict[str, float] = {}
    for one in found:
        worst[one.piece] = max(worst.get(one.piece, 0.0), one.difference)
    said = ", ".join(f"{piece} to {difference:.1g}" for piece, difference in worst.items())
    return f"the model's own ({said}; relative, on {N_PROMPTS} prompts)"
