"""The tiny world: drawn scenes whose truth is known, and a small VLM that has learned to see them.

In reading order: `scene`, `relations`, `describe`, `draw` (what there is), `questions`, `balance`
(what is asked), `world`, `vqa_format`, `vsr_format` (on disk, as the real data), `tokenizer`,
`networks` (who answers), `packing`, `drills`, `lessons`, `curriculum`, `reading`, `learning`,
`train`, `base_sae` (how they learned), `examination` (how well), `weights` (where they lie).
"""
