"""What a run found, printed: the funnel, the layers, the strongest ablations, the time."""

from typing import Any

from rich.console import Console
from sqlalchemy import Connection, text

from feature_atlas.etl.postgres.embedded import ensure_database
from feature_atlas.etl.printed_rows import print_rows
from feature_atlas.etl.warehouse.migrate import schema_difference
from feature_atlas.models.session import NO_ATLAS, make_engine, shown_address


def print_summary(slug: str, console: Console) -> None:
    """The tables of a published run."""
    with make_engine(ensure_database()).connect() as connection:
        run = connection.execute(
            text("select id, published_at from atlas.run where slug = :slug"), {"slug": slug}
        ).one()
        console.print(f"\n[bold]{slug}[/bold], published {run.published_at:%Y-%m-%d %H:%M}")
        print_rows(console, "Features per layer", _select(connection, LAYERS, run.id))
        console.print(_beyond_controls(_select(connection, CONTROLS, run.id)[0]))
        print_rows(console, "Top ten ablations", _select(connection, ABLATIONS, run.id))
        print_rows(
            console, "Attribution beside exact patching", _select(connection, AGREEMENT, run.id)
        )
        print_rows(console, "Where the time went", _select(connection, TIMES, run.id))
        print_rows(console, "Warnings", _select(connection, WARNINGS, run.id))


def print_status(console: Console) -> None:
    """Every run of the atlas, newest first."""
    url = ensure_database()
    with make_engine(url).connect() as connection:
        console.print(f"database {shown_address(url)}")
        difference = schema_difference(connection)
        if difference is not None:
            console.print(difference, markup=False)
        if difference == NO_ATLAS:
            return
        rows = connection.execute(text(RUNS)).mappings().all()
        if not rows:
            console.print("no runs yet: `feature-atlas demo` builds the first one")
            return
        print_rows(console, "Runs", [dict(row) for row in rows])


def _select(connection: Connection, sql: str, run_id: int) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(text(sql), {"run": run_id}).mappings()]


def _beyond_controls(counts: dict[str, Any]) -> str:
    """How many adapted features survive the controls, in a sentence that hides nothing."""
    said = f"{counts['n_adapted']:,} adapted"
    if counts["n_beyond_null"] is None:
        return f"{said}; without a refit regime: nothing says how far training alone turns them"
    said += f", of them {counts['n_beyond_null']:,} turn further than the refit null explains"
    if counts["n_turned_by_vision"] is None:
        return f"{said}; without a language regime: nothing says how much of it is language"
    return f"{said}, {counts['n_turned_by_vision']:,} of these further than language alone"


LAYERS = """
select coalesce(layer::text, 'all') as layer, count(*) as features,
       count(*) filter (where is_adapted) as adapted,
       case when count(is_turned_by_vision) > 0
            then count(*) filter (where is_turned_by_vision) end as "turned by vision",
       count(*) filter (where is_spatial_candidate) as "spatial candidates",
       count(*) filter (where survives_spatial) as "spatial survivors",
       count(*) filter (where is_ocr_candidate) as "ocr candidates",
       count(*) filter (where survives_ocr) as "ocr survivors",
       round(avg(cosine)::numeric, 3) as "mean cosine"
from atlas.feature_record where run_id = :run
group by rollup (layer) order by feature_record.layer
"""

CONTROLS = "select * from atlas.adapted_beyond_null where run_id = :run"

ABLATIONS = """
select s.layer, s.feature, s.relation, s.survives_spatial as survives,
       left(s.description, 60) as description, round(s.f1::numeric, 2) as f1,
       round(100 * delta_vsr::numeric, 1) || ' [' || round(100 * delta_vsr_low::numeric, 1) || ', '
         || round(100 * delta_vsr_high::numeric, 1) || ']' as "VSR pp [95 %]",
       round(100 * control_mean::numeric, 1) as "control pp",
       round(100 * delta_vqa::numeric, 1) as "VQA pp",
       round(s.odds_ratio::numeric, 2) as "OR", s.n_samples as n
from atlas.ablation_summary s where run_id = :run order by delta_vsr limit 10
"""

AGREEMENT = """
select corruption, part, estimate, round(spearman::numeric, 2) as spearman,
       round(pearson::numeric, 2) as pearson, round(sign_agreement::numeric, 2) as "same sign",
       round(top_overlap::numeric, 2) || ' (' || round(top_overlap_by_chance::numeric, 2) || ')'
         as "top ten (by chance)", n_features as features, n_samples as samples,
       round(n_passes::numeric, 1) as passes,
       n_random_causal || ' of ' || n_random as "causes missed"
from atlas.attribution_report where run_id = :run and scope = (
    select case when bool_or(scope = 'within_feature') then 'within_feature' else 'within_layer' end
    from atlas.attribution_agreement where run_id = :run
)
order by corruption <> 'mean', corruption, part, place, estimate
"""

TIMES = """
select stage, round(extract(epoch from finished_at - started_at)::numeric, 1) as seconds
from atlas.measurement where run_id = :run order by started_at
"""

WARNINGS = "select stage, warning from atlas.run_warning where run_id = :run order by warning_no"

RUNS = """
select r.slug, r.state, v.name as vlm, s.name as saes, r.n_layers * r.d_sae as features,
       to_char(r.created_at, 'YYYY-MM-DD HH24:MI') as created,
       to_char(r.published_at, 'YYYY-MM-DD HH24:MI') as published
from atlas.run r join atlas.vlm v on v.id = r.vlm_id join atlas.sae_set s on s.id = r.sae_set_id
order by r.created_at desc
"""
