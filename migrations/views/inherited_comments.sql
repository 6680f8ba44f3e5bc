-- No view: a column that keeps the name of the column it is taken from keeps its comment too,
-- unless the view's own file says otherwise. Naming the views makes this one of the last files,
-- after what atlas.table_comments says:
-- atlas.ablation_control atlas.dose_response atlas.steering_summary atlas.paper_table
-- atlas.published_significance atlas.supervised_report atlas.spatial_code_report
-- atlas.adapted atlas.adapted_beyond_null atlas.adapted_beyond_null_by_layer
-- atlas.ablation_answer atlas.best_description atlas.beside_paper atlas.driving_head atlas.funnel
-- atlas.head_layer_curve atlas.head_map atlas.head_recurrence
-- atlas.head_ranking atlas.label_score atlas.listed atlas.layer_summary atlas.neutral_evidence atlas.ocr atlas.provenance
-- atlas.run_warning atlas.runs atlas.skill_question atlas.skill_shift atlas.spatial
-- atlas.top_example atlas.activation_bin atlas.near_feature
-- atlas.shown_example atlas.visual_energy_paper atlas.attribution_report atlas.head_knockout_summary
-- atlas.ablation_bench atlas.claim atlas.claim_features atlas.claim_sets atlas.claim_meaning atlas.claim_ablation
DO $$
DECLARE
    kept record;
    n_kept integer := 1;
BEGIN
    WHILE n_kept > 0 LOOP -- a view may read another that has yet to inherit
        n_kept := 0;
        FOR kept IN
            SELECT
                own.attrelid::regclass AS viewed,
                own.attname AS name,
                min(col_description(source.attrelid, source.attnum)) AS said
            FROM pg_attribute AS own
            JOIN pg_rewrite AS rule ON rule.ev_class = own.attrelid
            JOIN pg_depend AS uses
                ON uses.classid = 'pg_rewrite'::regclass
                AND uses.objid = rule.oid
                AND uses.refclassid = 'pg_class'::regclass
                AND uses.refobjid <> own.attrelid
            JOIN pg_attribute AS source
                ON source.attrelid = uses.refobjid
                AND source.attnum = uses.refobjsubid
                AND source.attname = own.attname
            WHERE own.attnum > 0
                AND col_description(own.attrelid, own.attnum) IS NULL
                AND own.attrelid IN (
                    SELECT oid
                    FROM pg_class
                    WHERE relnamespace = 'atlas'::regnamespace
                        AND relkind = 'v'
                        AND pg_has_role(relowner, 'USAGE')
                )
            GROUP BY own.attrelid, own.attname
            -- two sources that say different things: the view has to choose
            HAVING count(DISTINCT col_description(source.attrelid, source.attnum)) = 1
        LOOP
            EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', kept.viewed, kept.name, kept.said);
            n_kept := n_kept + 1;
        END LOOP;
    END LOOP;
END
$$;
