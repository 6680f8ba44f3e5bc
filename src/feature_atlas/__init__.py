"""The mathematics of the feature atlas: tensors in, tensors out, one file per idea of the paper.

In the paper's order: ``token_roles``, ``vlm``, ``processor_geometry`` and ``cropping`` (3.1),
``sae`` with ``top_k`` and ``certified``, ``gate_check`` and ``gate_mistake`` (3.2),
``harvest`` and ``adapt`` (4.1),
``decoder_cosine``, ``visual_energy``, ``role_energy`` and ``selection`` (4.2), ``skill``,
``firing_counts``, ``firing_shift`` with ``shift_control`` and ``length_match``, and
``neutral_prompt`` with ``reply`` (4.3), ``example``, ``example_spread``, ``interp_samples``,
``auto_interp`` and ``label_score`` with the explainers and their ``chat_endpoint`` (5.1),
``objective_positions``, ``head_probe``, ``head_attribution``, ``exact_patch``, ``mean_effect``,
``attribution_agreement``, ``head_knockout``, ``overlay`` and ``localisation`` (5.2),
``yes_no``, ``intervention``, ``ablation``, ``control``, ``ablation_effect`` and ``paired_power``
(5.3), ``uncertainty``, ``bootstrap_weights`` and ``counter_hash`` (for all of them). Ours: search
with ``search_words``, ``embedding`` with ``embedding_openai`` and ``embedding_local``.

Dimension names: batch, token, head, layer, d_model, d_head, d_sae, prompt, patch, feature, sample.
"""
