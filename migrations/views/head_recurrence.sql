-- one row per run, corruption, method, group of features and head that is among the first five
-- heads of a feature of the group (5.2, Fig. 4): some heads recur across related spatial relations
CREATE VIEW atlas.head_recurrence AS
WITH groups AS (
    SELECT DISTINCT run_id, layer, feature, 'all' AS grouped_by, 'all' AS name
    FROM atlas.head_attribution
    UNION ALL
    SELECT DISTINCT run_id, layer, feature, 'relation', relation
    FROM atlas.ablation
    WHERE control_no = 0 AND evaluation = 'vsr_relation' AND relation IS NOT NULL
    UNION ALL
    SELECT run_id, layer, feature, 'skill', skill.name
    FROM atlas.candidate
    JOIN atlas.skill ON skill.id = candidate.skill_id
    WHERE survives
)

SELECT
    run_id,
    method,
    grouped_by,
    name,
    head_layer,
    head,
    count(*) AS n_features,
    count(*) FILTER (WHERE place <= 5 AND drive > 0) AS n_in_top_five,
    count(*) FILTER (WHERE place <= 5 AND drive > 0)::real / count(*) AS share,
    corruption
FROM atlas.driving_head
JOIN groups USING (run_id, layer, feature)
GROUP BY run_id, corruption, method, grouped_by, name, head_layer, head
HAVING count(*) FILTER (WHERE place <= 5 AND drive > 0) > 0;

COMMENT ON VIEW atlas.head_recurrence IS
    'in how many features'' first five heads a head is, by relation and by skill (5.2, Fig. 4)';
COMMENT ON COLUMN atlas.head_recurrence.grouped_by IS
    'all: every traced feature; relation: of the statements of its ablation; skill: it survives for it';
COMMENT ON COLUMN atlas.head_recurrence.name IS 'all, the relation or the skill';
COMMENT ON COLUMN atlas.head_recurrence.n_features IS
    'features of the group that were traced to this head';
COMMENT ON COLUMN atlas.head_recurrence.n_in_top_five IS
    'of these features, how many have the head among the first five that drive them';
COMMENT ON COLUMN atlas.head_recurrence.share IS 'n_in_top_five / n_features';
