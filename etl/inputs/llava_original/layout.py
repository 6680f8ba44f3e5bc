"""From the original's names of tensors to transformers', every one accounted for.

original                                           transformers, on disk
model.embed_tokens, model.layers, model.norm       language_model.model. and the rest
lm_head                                            language_model.lm_head
model.mm_projector.0, .2                           multi_modal_projector.linear_1, linear_2
model.vision_tower.vision_tower.vision_model       vision_tower.vision_model
"""

from collections.abc import Iterable, Mapping

import torch
from transformers import LlavaConfig, LlavaForConditionalGeneration

from feature_atlas.etl.inputs.llava_original.source_weights import Stored, read

TOWER_INSIDE = "model.vision_tower.vision_tower."
LM_HEAD, EMBEDDING = "language_model.lm_head.weight", "language_model.model.embed_tokens.weight"

_ORIGINAL = {
    TOWER_INSIDE: "vision_tower.",
    "model.mm_projector.0.": "multi_modal_projector.linear_1.",
    "model.mm_projector.2.": "multi_modal_projector.linear_2.",
    "model.embed_tokens.": "language_model.model.embed_tokens.",
    "model.layers.": "language_model.model.layers.",
    "model.norm.": "language_model.model.norm.",
    "lm_head.": "language_model.lm_head.",
}
_IN_MEMORY = {
    "model.vision_tower.": "vision_tower.vision_model.",
    "model.multi_modal_projector.": "multi_modal_projector.",
    "model.language_model.": "language_model.model.",
    "lm_head.": "language_model.lm_head.",
}
_COMPUTED = (".rotary_emb.inv_freq", "embeddings.position_ids")
"""Buffers that older versions saved; they follow from the configuration."""
_OTHER_HALF = ("text_model.", "text_projection.", "visual_projection.", "logit_scale", "logit_bias")
"""What CLIP and SigLIP have besides the tower."""


def _renamed(name: str, prefixes: Mapping[str, str]) -> str:
    for old, new in prefixes.items():
        if name.startswith(old):
            return new + name[len(old) :]
    return name


def converted_names(stored: Iterable[Stored]) -> dict[str, Stored]:
    """Tensors of the original checkpoint by their new names; unknown ones keep theirs.

    `model.image_newline` separates the rows of tiles, and there is one tile.
    """
    kept = [one for one in stored if not one.name.endswith((*_COMPUTED, "model.image_newline"))]
    return _once((_renamed(one.name, _ORIGINAL), one) for one in kept)


def tower_names(stored: Iterable[Stored]) -> dict[str, Stored]:
    """Tensors of a vision tower that lies apart, by their new names."""
    kept = [
        one
        for one in stored
        if not one.name.startswith(_OTHER_HALF) and not one.name.endswith(_COMPUTED)
    ]
    return _once(
        (f"vision_tower.vision_model.{one.name.removeprefix('vision_model.')}", one) for one in kept
    )


def _once(named: Iterable[tuple[str, Stored]]) -> dict[str, Stored]:
    found: dict[str, Stored] = {}
    for name, one in named:
        if name in found:
            raise ValueError(
                f"{one.name} of {one.file} and {found[name].name} of {found[name].file} are both "
                f"{name}: expected each tensor once; remove the files that do not belong."
            )
        found[name] = one
    return found


def expected_shapes(config: LlavaConfig) -> dict[str, tuple[int, ...]]:
    """What transformers' Llava of this configuration is made of; nothing is allocated."""
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(config)
    shapes = {
        _renamed(name, _IN_MEMORY): tuple(tensor.shape)
        for name, tensor in model.state_dict().items()
    }
    if config.tie_word_embeddings:
        del shapes[LM_HEAD]
    return shapes


def without_tied_head(found: Mapping[str, Stored], config: LlavaConfig) -> dict[str, Stored]:
    """An output matrix that is the embedding again is not written a second time."""
    if not config.tie_word_embeddings or LM_HEAD not in found or EMBEDDING not in found:
        return dict(found)
    head = found[LM_HEAD]
    if not torch.equal(read(head), read(found[EMBEDDING])):
        raise ValueError(
            f"{head.name} of {head.file} is not the embedding, but the configuration says "
            "tie_word_embeddings: set that to false if the two were tuned apart."
        )
    return {name: one for name, one in found.items() if name != LM_HEAD}


def require_exact(
    found: Mapping[str, Stored], expected: Mapping[str, tuple[int, ...]], source: object
) -> None:
    """Not a tensor too many or too few, each of the model's own shape."""
    missing = sorted(expected.keys() - found.keys())
    unexpected = sorted(found[name].name for name in found.keys() - expected.keys())
    other = [
        f"{found[name].name} is {found[name].shape}, expected {expected[name]}"
        for name in sorted(expected.keys() & found.keys())
        if found[name].shape != expected[name]
    ] + [
        f"{one.name} is of {one.dtype}, expected floating point numbers"
        for one in found.values()
        if not one.dtype.is_floating_point
    ]
    if missing or unexpected or other:
        said = [
            f"missing {_listed(missing, 'as transformers names them')}" if missing else "",
            f"unexpected {_listed(unexpected, 'as the files name them')}" if unexpected else "",
            f"of another kind: {'; '.join(other[:5])} ({len(other)} in all)" if other else "",
        ]
        raise ValueError(
            f"the weights in {source} are not those of its config.json: "
            f"{'; '.join(filter(None, said))}. Nothing was written: complete the download, or "
            "take the checkpoint and vision tower that belong together."
        )


def _listed(names: list[str], how: str) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"({how}): {', '.join(names[:10])}{more}"
