"""Run a network over packed sequences: the language model over text, the VLM over pictures.

A picture enters as projector outputs in place of the sixteen image tokens.
"""

from jaxtyping import Float
from torch import Tensor
from transformers import LlamaForCausalLM, LlavaForConditionalGeneration

from feature_atlas.toy.packing import Packed, block_mask


def image_embeddings(
    vlm: LlavaForConditionalGeneration, pixels: Float[Tensor, "image rgb y x"]
) -> Float[Tensor, "image patch d_model"]:
    """Projector outputs, the class token dropped."""
    tower = vlm.model.vision_tower(pixels, output_hidden_states=True)
    features = tower.hidden_states[vlm.config.vision_feature_layer][:, 1:]
    return vlm.model.multi_modal_projector(features)


def packed_hidden(
    vlm: LlavaForConditionalGeneration,
    packed: Packed,
    images: Float[Tensor, "batch patch d_model"],
) -> Float[Tensor, "batch token d_model"]:
    """Last hidden states of packed sequences, image embeddings spliced in."""
    embeds = vlm.get_input_embeddings()(packed.tokens)
    is_image = packed.tokens == vlm.config.image_token_id
    embeds = embeds.masked_scatter(is_image[..., None], images.to(embeds.dtype))
    return vlm.model.language_model(
        inputs_embeds=embeds,
        attention_mask=block_mask(packed.block),
        position_ids=packed.positions,
        use_cache=False,
    ).last_hidden_state


def text_hidden(model: LlamaForCausalLM, packed: Packed) -> Float[Tensor, "batch token d_model"]:
    """Last hidden states of packed sequences that hold only words."""
    return model.model(
        input_ids=packed.tokens,
        attention_mask=block_mask(packed.block),
        position_ids=packed.positions,
        use_cache=False,
    ).last_hidden_state
