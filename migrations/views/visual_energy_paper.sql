-- the paper's visual energy E_v in each of its readings, one row per feature (4.2, A.4)
CREATE VIEW atlas.visual_energy_paper AS
SELECT
    run_id,
    layer,
    feature,
    energy_question AS text_mask,
    energy_all_tokens AS vision_inputs,
    energy_image AS image_tokens
FROM atlas.visual_energy;

COMMENT ON VIEW atlas.visual_energy_paper IS
    'the paper''s E_v in each of its readings; text_mask selects (4.2, A.4)';
COMMENT ON COLUMN atlas.visual_energy_paper.text_mask IS
    'A.4, under a text-only mask: mean squared activation on the text tokens after the image';
COMMENT ON COLUMN atlas.visual_energy_paper.vision_inputs IS
    '4.2, under vision inputs: over all tokens of questions with their image but the BOS; NULL: a run from before it was stored';
COMMENT ON COLUMN atlas.visual_energy_paper.image_tokens IS
    '4.2, under vision inputs: over image tokens alone, outside of what a text-adapted SAE was trained on';
