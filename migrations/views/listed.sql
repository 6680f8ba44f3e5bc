-- one row per feature in a list and published run of its dictionary: what joins lists with facts
CREATE VIEW atlas.listed AS
SELECT
    list.slug AS list,
    run.id AS run_id,
    entry.layer,
    entry.feature,
    entry.note,
    entry.added_by,
    entry.created_at AS added_at
FROM lists.entry AS entry
JOIN lists.list AS list ON list.id = entry.list_id
JOIN atlas.sae_set ON sae_set.fingerprint = entry.dictionary
JOIN atlas.run ON run.sae_set_id = sae_set.id AND run.state IN ('published', 'superseded');

COMMENT ON VIEW atlas.listed IS
    'features that readers put into lists, in every published run of their dictionary';
COMMENT ON COLUMN atlas.listed.list IS 'the list''s slug, as in its address';
COMMENT ON COLUMN atlas.listed.run_id IS 'a run in which the feature is to be found';
COMMENT ON COLUMN atlas.listed.added_at IS 'when it was put into the list';
