"""The mathematics of the feature atlas: tensors in, tensors out, one file per idea of the paper.

In the paper's order: ``vlm`` (3.1), ``harvest`` and ``adapt`` (4.1), ``sae`` (3.2),
``decoder_cosine``, ``visual_energy`` and ``selection`` (4.2), ``skill``, ``firing_shift`` and
``neutral_prompt`` with ``reply`` (4.3), ``example``, ``interp_samples`` and ``auto_interp`` (5.1),
``head_probe``, ``head_attribution``, ``exact_patch`` and ``overlay`` (5.2), ``yes_no``,
``ablation``, ``control`` and ``ablation_effect`` (5.3), ``uncertainty`` (for all of them). Ours:
search with ``search_words``, ``embedding`` with ``embedding_openai`` and ``embedding_local``.

Dimension names: batch, token, head, layer, d_model, d_head, d_sae, prompt, patch, feature, sample.
"""
