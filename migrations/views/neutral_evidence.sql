-- one row per candidate and neutral prompt: does the feature fire because of the picture, though no
-- word asks for its skill (4.3, A.6)? The verdict over all prompts stands beside each.
CREATE VIEW atlas.neutral_evidence AS
SELECT
    asked.run_id,
    skill.name AS skill,
    asked.layer,
    asked.feature,
    candidate.survives,
    asked.prompt_no,
    asked.prompt,
    asked.has_skill_word,
    asked.n_samples,
    asked.n_fired,
    asked.n_fired_mean_image,
    asked.n_fired_shuffled_image,
    (asked.n_fired::double precision / nullif(asked.n_samples, 0))::real AS firing_rate,
    (asked.n_fired_mean_image::double precision / nullif(asked.n_samples, 0))::real
        AS firing_rate_mean_image,
    (asked.n_fired_shuffled_image::double precision / nullif(asked.n_samples, 0))::real
        AS firing_rate_shuffled_image,
    asked.mean_activation
FROM atlas.neutral_prompt AS asked
JOIN atlas.skill ON skill.id = asked.skill_id
JOIN atlas.candidate USING (run_id, skill_id, layer, feature);

COMMENT ON VIEW atlas.neutral_evidence IS
    'a candidate on each neutral prompt, with the picture and without, and the verdict (A.6)';
COMMENT ON COLUMN atlas.neutral_evidence.skill IS 'the skill it is a candidate of';
COMMENT ON COLUMN atlas.neutral_evidence.firing_rate IS
    'share of the images on which it fired; none if no image was tried';
COMMENT ON COLUMN atlas.neutral_evidence.firing_rate_shuffled_image IS
    'the same with another sample''s image; evidence only: that image may hold the same thing';
COMMENT ON COLUMN atlas.neutral_evidence.firing_rate_mean_image IS
    'the same with the image replaced by the mean embedding; as high as firing_rate: a word did it';
