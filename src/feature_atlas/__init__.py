"""The feature atlas. In this folder is its mathematics: tensors in, tensors out.

The rooms are the sections of the paper: ``vlm`` (3.1), ``dictionary`` (3.2, 4.1), ``features``
(4.2, 4.3), ``ablation`` (5.3), ``heads`` (5.2), ``meaning`` (5.1); ``statistics`` serves all of
them, ``toy`` is the tiny world. A file is one idea. The other floors (``models``, ``migrations``,
``etl``, ``dashboards``) lie at the top of the repository and have the same rooms.

Dimension names: batch, token, head, layer, d_model, d_head, d_sae, prompt, patch, feature, sample.
"""
