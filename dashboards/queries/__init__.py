"""Every question the dashboards ask of the database: one function, one SELECT, one DataFrame.

    whole_run        runs, provenance, funnel
    claims           what of the paper holds
    many_features    the cloud of all features, a box of it, those that stand out
    explore          features by any filters, in any order
    one_feature      what one feature is, and what changed of it
    feature_examples what it fires on
    feature_writes   how strongly it fires, what it writes
    feature_causes   what drives it, what breaks without it
    attention_maps   where heads look
    seeds            what turned again in another order of the data
    chance           what every score is by chance
    paper_figures    what the paper's figures show
    run_heads        which heads drive the features of a run, and one head in all of them
    skill_shifts     which features one skill recruits
    ablations        what breaks without features, here and in the paper
    groups_and_steering  several features removed together, one added, other ways to remove
    supervised       features beside what labels find, and beside a code of places
    run_health       how runs were made, what they warn of, where a number comes from
    two_runs         every feature before and after
    run_series       features over many runs: when they turned
    thresholds       the adapted set at any thresholds
    search_results   features by words and by meaning
    lists            what readers keep: lists, and what they say of a feature
    statements       what readers ask in SQL, and what is saved of it
    own_prompts      the run's pictures, and labels of some features

Nothing else in `dashboards` reads, except `notebook`, whose SQL is its user's. Most ask about one
run or two, so that Postgres touches only those runs' partitions. Answers are kept for a minute.
"""

from feature_atlas.dashboards.queries.ablations import (
    ablation_summaries,
    ablations,
    bench_removals,
    control_effects,
    published_results,
)
from feature_atlas.dashboards.queries.attention_maps import (
    custom_prompts,
    localisation,
    overlays,
)
from feature_atlas.dashboards.queries.chance import chance_scores
from feature_atlas.dashboards.queries.claims import claims
from feature_atlas.dashboards.queries.database import (
    MAX_ROWS,
    TTL,
    forget,
    is_reachable,
    missing_address,
)
from feature_atlas.dashboards.queries.explore import (
    explored_bins,
    explored_layers,
    explored_rows,
    explored_sql,
)
from feature_atlas.dashboards.queries.feature_causes import (
    exact_effects,
    groups_of,
    head_attributions,
    head_knockouts,
    heads_in_short,
    interventions,
    removal_in_short,
    steerings,
)
from feature_atlas.dashboards.queries.feature_examples import (
    example_answers,
    example_sources,
    example_words,
    examples,
)
from feature_atlas.dashboards.queries.feature_writes import (
    activation_bins,
    logit_effects,
    near_features,
    output_scores,
)
from feature_atlas.dashboards.queries.groups_and_steering import (
    dose_responses,
    group_members,
    group_removals,
    other_interventions,
    steering_summaries,
)
from feature_atlas.dashboards.queries.lists import (
    comments,
    feature_list,
    listed,
    lists,
    lists_with,
)
from feature_atlas.dashboards.queries.many_features import (
    feature_bins,
    feature_points,
    features_between,
    marked_features,
)
from feature_atlas.dashboards.queries.one_feature import (
    base_labels,
    decoder_cosines,
    descriptions,
    feature,
    firing_feature_from,
    firing_shifts,
    intruders,
    latent_scales,
    modality_preferences,
    neutral_prompts,
    review_agreement,
    reviews,
    same_feature,
    visual_energies,
)
from feature_atlas.dashboards.queries.own_prompts import example_samples, labels_of, sample
from feature_atlas.dashboards.queries.paper_figures import (
    adapted_by_layer,
    adapted_cosines,
    adapted_shifts,
    cosine_quantiles,
    cosines_by_layer,
    energies_by_layer,
    firing_rates,
    fvu_curves,
    mean_cosines,
    selection_sweep,
)
from feature_atlas.dashboards.queries.run_heads import (
    attribution_agreement,
    corruptions,
    feature_agreement,
    features_of_head,
    head_curves,
    head_lifts,
    head_overlays,
    head_recurrence,
    head_totals,
    knockouts_of_head,
)
from feature_atlas.dashboards.queries.run_health import (
    empty_tables,
    forward_checks_by_layer,
    gate_checks,
    ledger,
    origins,
    partition_sizes,
    run_warnings,
)
from feature_atlas.dashboards.queries.run_series import (
    sets_by_run,
    trajectories,
    turned_at,
    turned_when,
)
from feature_atlas.dashboards.queries.search_results import (
    features_found,
    unembedded_labels,
)
from feature_atlas.dashboards.queries.seeds import seed_sets, seed_stability
from feature_atlas.dashboards.queries.skill_shifts import (
    neutral_by_prompt,
    shift_candidates,
    shift_cloud,
    shift_levels,
    skill_funnel,
    skills_of_run,
)
from feature_atlas.dashboards.queries.statements import (
    answered,
    explained,
    saved_queries,
    schema_columns,
)
from feature_atlas.dashboards.queries.supervised import (
    additions_for,
    spatial_code_report,
    spatial_codes,
    supervised_controls,
    supervised_report,
)
from feature_atlas.dashboards.queries.thresholds import cosine_cuts, selected_by_layer
from feature_atlas.dashboards.queries.two_runs import (
    change_spread,
    drift_kinds,
    drift_reports,
    drifted,
    metric_bins,
    metric_points,
    movers,
    pairs_between,
    surprises,
    transitions,
)
from feature_atlas.dashboards.queries.whole_run import (
    forward_checks,
    funnel,
    measurements,
    runs,
)

__all__ = [
    "MAX_ROWS",
    "TTL",
    "ablation_summaries",
    "ablations",
    "activation_bins",
    "adapted_by_layer",
    "adapted_cosines",
    "adapted_shifts",
    "additions_for",
    "answered",
    "attribution_agreement",
    "base_labels",
    "bench_removals",
    "chance_scores",
    "change_spread",
    "claims",
    "comments",
    "control_effects",
    "corruptions",
    "cosine_cuts",
    "cosine_quantiles",
    "cosines_by_layer",
    "custom_prompts",
    "decoder_cosines",
    "descriptions",
    "dose_responses",
    "drift_kinds",
    "drift_reports",
    "drifted",
    "empty_tables",
    "energies_by_layer",
    "exact_effects",
    "example_answers",
    "example_samples",
    "example_sources",
    "example_words",
    "examples",
    "explained",
    "explored_bins",
    "explored_layers",
    "explored_rows",
    "explored_sql",
    "feature",
    "feature_agreement",
    "feature_bins",
    "feature_list",
    "feature_points",
    "features_between",
    "features_found",
    "features_of_head",
    "firing_feature_from",
    "firing_rates",
    "firing_shifts",
    "forget",
    "forward_checks",
    "forward_checks_by_layer",
    "funnel",
    "fvu_curves",
    "gate_checks",
    "group_members",
    "group_removals",
    "groups_of",
    "head_attributions",
    "head_curves",
    "head_knockouts",
    "head_lifts",
    "head_overlays",
    "head_recurrence",
    "head_totals",
    "heads_in_short",
    "interventions",
    "intruders",
    "is_reachable",
    "knockouts_of_head",
    "labels_of",
    "latent_scales",
    "ledger",
    "listed",
    "lists",
    "lists_with",
    "localisation",
    "logit_effects",
    "marked_features",
    "mean_cosines",
    "measurements",
    "metric_bins",
    "metric_points",
    "missing_address",
    "modality_preferences",
    "movers",
    "near_features",
    "neutral_by_prompt",
    "neutral_prompts",
    "origins",
    "other_interventions",
    "output_scores",
    "overlays",
    "pairs_between",
    "partition_sizes",
    "published_results",
    "removal_in_short",
    "review_agreement",
    "reviews",
    "run_warnings",
    "runs",
    "same_feature",
    "sample",
    "saved_queries",
    "schema_columns",
    "seed_sets",
    "seed_stability",
    "selected_by_layer",
    "selection_sweep",
    "sets_by_run",
    "shift_candidates",
    "shift_cloud",
    "shift_levels",
    "skill_funnel",
    "skills_of_run",
    "spatial_code_report",
    "spatial_codes",
    "steering_summaries",
    "steerings",
    "supervised_controls",
    "supervised_report",
    "surprises",
    "trajectories",
    "transitions",
    "turned_at",
    "turned_when",
    "unembedded_labels",
    "visual_energies",
]
