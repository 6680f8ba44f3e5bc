"""Units of columns: every number says at the end of its comment what it is counted in.

    decoder direction after with before; 1: kept, 0: a new direction (4.2) [cosine; -1 to 1]
    tokens on which it fired in text training [count; 0 or more]

A name means the same in every table and view, so the unit follows from the name, but for those in
OTHERWISE. Behind the semicolon is the range, where the column declares one. `identifier` names a
row, `index` a place in an order: neither is a quantity.
"""

import re
from math import inf

FRACTION, POINTS = "fraction", "percentage points"
COUNT, RAW, NORMALISED = "count", "raw residual units", "normalised units"

UNITS = (
    ("identifier", r"id|.*_id|.*_token_ids|seeds?"),
    (
        "index",
        r"(compared_)?layers?|head|head_layer|feature|.*_feature|features|rank|place|position|.*_no",
    ),
    ("index", r"bin|first_bin|max_token|draw|quantile"),
    (FRACTION, r"(.*_)?delta_p"),
    (
        "p value",
        r"p_value|.*_p|q_value.*|.*_q_value.*|[pq]_(best|counter)|paper_p_.*|rotation_p_value",
    ),
    ("log ratio", r"(modality|mean_image)_preference.*"),
    ("odds ratio", r".*odds_ratio.*"),
    (FRACTION, r"delta_(feature|outside|code|both|shuffled_code)(_low|_high)?"),
    (FRACTION, r"output_score.*"),
    ("log ratio", r"log_probability_.*"),
    (FRACTION, r"f1.*|.*_f1|picture_gain.*|fvu|stated_fvu|(balanced_|intruder_)?accuracy.*"),
    (FRACTION, r"yes_rate.*|firing_rate.*|(.*_)?share(_.*)?|image_mass|control_image_mass|weights"),
    (
        FRACTION,
        r"(.*_)?jaccard|object_area|sign_agreement|top_overlap.*|cosine_rank|ablation_(delta|low|high)",
    ),
    (FRACTION, r"(our_|paper_)?delta_vsr_probability.*|probability_.*|detectable_delta"),
    (POINTS, r"(our|paper)_delta_.*"),
    (FRACTION, r"delta_(accuracy|low|high)|delta_(vsr|vqa|other|control)(_low|_high)?"),
    (FRACTION, r"delta_less_feature.*|auc_.*|r2_.*"),
    ("ratio", r"(remaining|outside|shuffled)_(accuracy|margin).*"),
    (
        FRACTION,
        r"worst_delta_accuracy|interaction.*|(random_|direction_)?control_(mean|min|max|low|high)",
    ),
    ("correlation", r"pearson|(.*_)?spearman(_.*)?|mirror_correlation|mcc.*"),
    ("logit", r"margin_.*|.*_margin.*|(top|bottom)_effects"),
    ("ratio", r"scale_.*|(vlm|base)_beta_.*|standard_error_(text|image)"),
    ("ratio", r"lift.*|(control_)?removed_norm|energy_factor|difference|bound|activation_scale"),
    ("cosine", r"(.*_)?cosines?(_.*)?|excess_rotation"),
    ("normalised units squared", r"(.*_)?energy(_.*)?"),
    (COUNT, r"(.*_)?n_.*|n|rows|k|l0|stated_l0|d_model|d_sae|net_lost|assumed_mended"),
    (COUNT, r"(.*_)?(tokens|fired|questions)_.*|matched_questions|grid_(rows|columns)"),
    (COUNT, r"(true|false)_(positive|negative)|right_to_wrong|wrong_to_right"),
    (NORMALISED, r"activations|(max|mean)_activation|(control_)?activation_(before|after|corrupt)"),
    (NORMALISED, r"threshold|(base|adapted|mean)_norm"),
    (RAW, r"score|.*_score|drive|.*_drive.*|drive_.*|effect.*|estimate.*|exact_(low|high)"),
    (
        RAW,
        r"(control_)?projection_.*|standard_error|deviation|length|sink_norm|(q|k|v|z|qk)(_fix)?",
    ),
    ("mean activations", r"(min_|max_)?alpha"),
    ("pixels", r"width|height|seen_(left|top|right|bottom)"),
    ("s", r"seconds"),
    ("bytes", r".*_bytes"),
    ("US dollars", r"cost_usd"),
    ("dimensionless", r"learning_rate|embedding|kappa.*"),
)
"""Units with the names that are counted in them; the first that fits."""

CLAIMED_OF = ("_dictionary", "_features", "_sets", "_meaning", "_heads", "_ablation")
"""Views with the numbers of the paper's claims."""

OTHERWISE = {
    **dict.fromkeys(
        (
            *(f"published_result.delta_{what}" for what in ("vsr", "vqa", "control")),
            *(f"published_significance.delta_vsr{end}" for end in ("", "_low", "_high")),
            *(
                f"paper_table.delta_{what}{end}"
                for what in ("vsr", "vqa", "control")
                for end in ("", "_low", "_high")
            ),
        ),
        POINTS,
    ),
    **dict.fromkeys(
        ("visual_energy_paper.text_mask", "visual_energy_paper.vision_inputs",
         "visual_energy_paper.image_tokens"), "normalised units squared",
    ),
    **dict.fromkeys(("activation_bin.low", "activation_bin.high"), NORMALISED),
    **dict.fromkeys(
        ("drift.value_before", "drift.value_after", "drift.change"), "that of its measure"
    ),
    **dict.fromkeys(
        (f"chance_score.{of}{what}" for of in ("", "random_")
         for what in ("mean", "low", "high", "p5", "p95")), "that of its score",
    ),
    **dict.fromkeys(
        (f"ablation_control.{what}" for what in ("mean", "min", "max", "low", "high")), FRACTION
    ),
    **dict.fromkeys(
        (
            *("paper_check.claimed_low", "paper_check.claimed_high"),
            *("claim_check.claimed_low", "claim_check.claimed_high", "claim_heads_of_feature.x"),
            *(
                f"claim{of}.{what}"
                for of in ("", "_check", *CLAIMED_OF)
                for what in ("value", "low", "high")
            ),
        ),
        "that of its check",
    ),
    "first_heads.heads": "index",
    "supervised_steering.alpha": "standard deviations",
    **dict.fromkeys((f"head_attribution.k{end}" for end in ("", "_fix")), RAW),
}  # fmt: skip
"""By relation and column."""

_SAID = re.compile(r" \[[^\[\]]*\]\Z")


def unit_of(relation: str, column: str) -> str | None:
    """What a number is counted in; None: nobody said."""
    said = OTHERWISE.get(f"{relation}.{column}")
    return said or next((unit for unit, names in UNITS if re.fullmatch(names, column)), None)


def with_unit(
    comment: str, relation: str, column: str, low: float = -inf, high: float = inf
) -> str:
    """A comment that ends with the unit of its column, and with the range."""
    unit = unit_of(relation, column)
    if unit is None:
        return comment
    if high < inf:
        unit = f"{unit}; {low:g} to {high:g}"
    elif low > -inf:
        unit = f"{unit}; {low:g} or more"
    return f"{_SAID.sub('', comment)} [{unit}]"
