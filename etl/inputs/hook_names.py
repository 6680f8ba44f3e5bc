"""The places that SAE files say they read, in every spelling that is about.

    blocks.N.hook_resid_post            TransformerLens, SAELens, Llama Scope
    model.layers.N(.output)             Hugging Face, Gemma Scope 2, lmms-lab; with language_model
    layers.N, layer_N                   EleutherAI
    resid_post_layer_N                  dictionary_learning
    ...hook_resid_pre, ...input         the input of a layer is the output of the one before

Whatever else is stated, attention, MLP, transcoders or a word nobody knows, is refused: a
dictionary of another place computes numbers as a right one does.
"""

import re

_PARENTS = r"(?:(?:base_model|model|language_model|text_model|transformer|decoder|gpt_neox)\.)*"
_LAYER = re.compile(_PARENTS + r"(?:blocks|layers|h)[._](\d+)(?:\.(.+))?")
_SITE_LAYER = re.compile(r"([a-z_]+)_layer_(\d+)")
_FOLDER = re.compile(r"layer_?(\d+)")
_AFTER = ("", "output", "resid_post", "hook_resid_post")
_BEFORE = ("input", "resid_pre", "hook_resid_pre")


def layer_read(stated: str) -> int:
    """The decoder layer whose output is read; -1: the embeddings. Another place is a ValueError."""
    place = _parsed(stated)
    if place is None:
        raise ValueError(
            f"reads {stated}, which is no name known here: expected the residual stream after a "
            "layer, such as blocks.N.hook_resid_post or model.layers.N."
        )
    layer, site = place
    if site in _BEFORE:
        return layer - 1
    if site not in _AFTER:
        raise ValueError(
            f"reads {stated}: expected the residual stream after a layer (hook_resid_post); "
            "dictionaries of attention, of MLPs, and transcoders, are of another space."
        )
    return layer


def _parsed(stated: str) -> tuple[int, str] | None:
    """Number of the layer, and the word for the place in it."""
    if found := _LAYER.fullmatch(stated):
        return int(found[1]), found[2] or ""
    if found := _FOLDER.fullmatch(stated):
        return int(found[1]), ""
    if found := _SITE_LAYER.fullmatch(stated):
        return int(found[2]), found[1]
    return None
