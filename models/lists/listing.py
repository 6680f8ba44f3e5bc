"""What a list holds, with the numbers of one run: for pages, files and the command line.

Features of other dictionaries than the run's are there without numbers. In the order in which they
were added.
"""

EVERYTHING = 10**6
"""More features than a list holds."""

LISTED = """
WITH run AS (
    SELECT sae_set.fingerprint AS dictionary FROM atlas.run
    JOIN atlas.sae_set ON sae_set.id = run.sae_set_id WHERE run.id = :run_id
), page AS (
    SELECT entry.* FROM lists.entry JOIN lists.list ON list.id = entry.list_id
    WHERE list.slug = :slug
    ORDER BY entry.created_at, dictionary, layer, feature OFFSET :first LIMIT :n_rows
)
SELECT page.layer, page.feature, said.label, page.note, best.f1, record.cosine,
       record.visual_energy, record.spatial_odds_ratio, removal.delta_accuracy AS ablation_delta,
       record.is_adapted, page.added_by, page.run AS seen_in, page.created_at, page.dictionary,
       record.layer IS NOT NULL AS is_here
FROM page LEFT JOIN run USING (dictionary)
LEFT JOIN atlas.feature_record AS record
    ON record.run_id = :run_id AND run.dictionary IS NOT NULL
    AND record.layer = page.layer AND record.feature = page.feature
LEFT JOIN atlas.feature_label AS said
    ON said.run_id = :run_id AND said.layer = record.layer
    AND said.feature = record.feature
LEFT JOIN atlas.best_description AS best
    ON best.run_id = :run_id AND best.layer = record.layer
    AND best.feature = record.feature
LEFT JOIN atlas.ablation AS removal
    ON removal.run_id = :run_id AND removal.layer = record.layer
    AND removal.feature = record.feature AND removal.evaluation = 'vsr_relation'
    AND removal.intervention = 'directional' AND removal.control_no = 0
ORDER BY page.created_at, page.dictionary, page.layer, page.feature
"""
