"""Which features one skill recruits, a skill of one's own too (4.3, A.5, A.6)."""

from typing import NamedTuple

import pandas as pd

from feature_atlas.dashboards.queries.database import cached, kept, select


class Level(NamedTuple):
    """One way to ask how much more a feature fires on a skill."""

    meaning: str
    """What is counted, and how its interval is made."""
    delta: str
    """Column of the difference of firing rates, skill minus base."""
    ratio: str
    """Column of the odds ratio."""
    interval: str
    """The columns of its 95 % interval, before `_low` and `_high`."""


LEVELS = {
    "tokens": Level("per token (paper), Woolf", "delta_p", "odds_ratio", "odds_ratio"),
    "images resampled": Level(
        "per token, images resampled", "delta_p", "odds_ratio", "odds_ratio_boot"
    ),
    "questions": Level(
        "per question", "question_delta_p", "question_odds_ratio", "question_odds_ratio"
    ),
    "question tokens": Level(
        "on question tokens alone", "role_delta_p", "role_odds_ratio", "role_odds_ratio"
    ),
    "equal length": Level(
        "questions of one length", "matched_delta_p", "matched_odds_ratio", "matched_odds_ratio"
    ),
}
"""What a sceptic asks of an odds ratio; the only identifiers that come into the SQL below."""


@cached
def skills_of_run(run_id: int) -> pd.DataFrame:
    """skill, questions_skill, questions_base, tokens_skill, tokens_base, definition (NULL: none is
    kept); a row per skill with firing shifts."""
    return select(
        """
        SELECT s.name AS skill, f.*, d.definition
        FROM atlas.skill AS s
        CROSS JOIN LATERAL (
            SELECT questions_skill, questions_base, tokens_skill, tokens_base
            FROM atlas.firing_shift WHERE run_id = :run_id AND skill_id = s.id
            ORDER BY layer, feature LIMIT 1  -- by its index, without a look at others' rows
        ) AS f
        LEFT JOIN atlas.skill_definition AS d ON d.run_id = :run_id AND d.skill = s.name
        ORDER BY s.id
        """,
        run_id=run_id,
    )


@kept
def skill_funnel(run_id: int, skill: str) -> pd.DataFrame:
    """skill, step, n_features; steps in order, as in `funnel` for any skill."""
    return select(
        """
        SELECT cast(:skill AS text) AS skill, step, n_features
        FROM (
            SELECT count(*) AS n_adapted, count(*) FILTER (WHERE is_candidate) AS n_candidates,
                   count(*) FILTER (WHERE survives) AS n_survivors
            FROM atlas.skill_shift WHERE run_id = :run_id AND skill = :skill AND is_adapted
        ) AS counted
        JOIN atlas.run ON run.id = :run_id
        CROSS JOIN LATERAL (
            VALUES (1, 'all features', run.n_layers * run.d_sae::bigint), (2, 'adapted', n_adapted),
                   (3, 'candidates', n_candidates), (4, 'survive neutral prompts', n_survivors)
        ) AS steps (place, step, n_features)
        ORDER BY place
        """,
        run_id=run_id,
        skill=skill,
    )


@kept
def shift_levels(run_id: int, skill: str) -> pd.DataFrame:
    """level, n_candidates, lower, median, upper (quartiles of the odds ratio), n_above (whole 95 %
    interval above 1); a row per level that was measured, candidates alone."""
    rows = ", ".join(
        f"({place}, '{name}', {level.ratio}, {level.interval}_low)"
        for place, (name, level) in enumerate(LEVELS.items())
    )
    return select(
        f"""
        SELECT level, count(*) AS n_candidates,
               percentile_cont(0.25) WITHIN GROUP (ORDER BY ratio) AS lower,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY ratio) AS median,
               percentile_cont(0.75) WITHIN GROUP (ORDER BY ratio) AS upper,
               count(*) FILTER (WHERE low > 1) AS n_above
        FROM atlas.skill_shift
        CROSS JOIN LATERAL (VALUES {rows}) AS asked (place, level, ratio, low)
        WHERE run_id = :run_id AND skill = :skill AND is_adapted AND is_candidate
          AND low IS NOT NULL
        GROUP BY place, level ORDER BY place
        """,
        run_id=run_id,
        skill=skill,
    )


@cached
def shift_candidates(run_id: int, skill: str, level: str, n_rows: int) -> pd.DataFrame:
    """layer, feature, label, survives, is_turned_by_vision, delta_p, odds_ratio, low, high, of that
    level (NULL: not measured); q_value; n_samples, n_fired, n_fired_mean_image on neutral prompts;
    survivors first, then by odds ratio."""
    asked = LEVELS[level]
    return select(
        f"""
        SELECT shift.layer, shift.feature, label.label, shift.survives, chosen.is_turned_by_vision,
               shift.{asked.delta} AS delta_p, shift.{asked.ratio} AS odds_ratio,
               shift.{asked.interval}_low AS low, shift.{asked.interval}_high AS high,
               shift.q_value, asked.n_samples, asked.n_fired, asked.n_fired_mean_image
        FROM atlas.skill_shift AS shift
        JOIN atlas.selection AS chosen USING (run_id, layer, feature)
        JOIN atlas.skill ON skill.name = shift.skill
        LEFT JOIN atlas.candidate AS asked
            ON asked.run_id = shift.run_id AND asked.skill_id = skill.id
            AND asked.layer = shift.layer AND asked.feature = shift.feature
        LEFT JOIN atlas.feature_label AS label
            ON label.run_id = shift.run_id AND label.layer = shift.layer
            AND label.feature = shift.feature
        WHERE shift.run_id = :run_id AND shift.skill = :skill AND shift.is_adapted
          AND shift.is_candidate
        ORDER BY shift.survives DESC, shift.{asked.ratio} DESC NULLS LAST, shift.layer,
                 shift.feature
        LIMIT :n_rows
        """,
        run_id=run_id,
        skill=skill,
        n_rows=n_rows,
    )


@kept
def shift_cloud(run_id: int, skill: str, level: str, n_bins: int) -> pd.DataFrame:
    """delta_p, odds_ratio (the middle of a bin), n_features: adapted features that are no
    candidates, in `n_bins` x `n_bins` bins, the ratio in steps of its logarithm."""
    asked = LEVELS[level]
    return select(
        f"""
        WITH cloud AS MATERIALIZED (
            SELECT {asked.delta}::float AS x, ln({asked.ratio}::float) AS y
            FROM atlas.skill_shift
            WHERE run_id = :run_id AND skill = :skill AND is_adapted AND NOT is_candidate
              AND {asked.ratio} > 0
        ),
        ends AS (
            SELECT min(x) AS x, greatest(max(x) - min(x), 1e-9) / :n_bins AS x_step,
                   min(y) AS y, greatest(max(y) - min(y), 1e-9) / :n_bins AS y_step
            FROM cloud
        )
        SELECT ends.x + (x_bin + 0.5) * x_step AS delta_p,
               exp(ends.y + (y_bin + 0.5) * y_step) AS odds_ratio, n_features
        FROM (
            SELECT least(floor((cloud.x - ends.x) / x_step), :n_bins - 1) AS x_bin,
                   least(floor((cloud.y - ends.y) / y_step), :n_bins - 1) AS y_bin,
                   count(*) AS n_features
            FROM cloud CROSS JOIN ends GROUP BY 1, 2
        ) AS bin
        CROSS JOIN ends ORDER BY 1, 2
        """,
        run_id=run_id,
        skill=skill,
        n_bins=n_bins,
    )


@kept
def neutral_by_prompt(run_id: int, skill: str) -> pd.DataFrame:
    """prompt, has_skill_word, n_candidates, n_survivors, fired, fired_mean_image,
    fired_shuffled_image (shares of images, mean over candidates): a row per neutral prompt."""
    return select(
        """
        SELECT prompt, has_skill_word, count(*) AS n_candidates,
               count(*) FILTER (WHERE survives) AS n_survivors, avg(firing_rate) AS fired,
               avg(firing_rate_mean_image) AS fired_mean_image,
               avg(firing_rate_shuffled_image) AS fired_shuffled_image
        FROM atlas.neutral_evidence WHERE run_id = :run_id AND skill = :skill
        GROUP BY prompt_no, prompt, has_skill_word ORDER BY prompt_no
        """,
        run_id=run_id,
        skill=skill,
    )
