"""`feature-atlas overlay`: a feature's heads on a question of one's own (paper 5.2, Fig. 16).

Which heads: those that the published run shows for the feature, strongest, weakest and matched. The
result joins the run as an addition: a measurement of its own, with the time at which it was added.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from rich.console import Console
from sqlalchemy import Engine, text

from feature_atlas.dictionary.sae import encode
from feature_atlas.etl.config.run_config import stable_hash
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.own_prompt.run_model import run_study
from feature_atlas.etl.run_folder.artifacts import require_stage
from feature_atlas.etl.run_folder.manifest import MeasurementEntry
from feature_atlas.etl.run_folder.provenance import libraries
from feature_atlas.etl.run_folder.stopwatch import Stopwatch
from feature_atlas.etl.stages.dictionary.adapt import adapted_sae
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.stages.heads.attention_map import Map, batch_attention, map_columns, place_of
from feature_atlas.etl.stages.vlm.samples_table import image_row
from feature_atlas.etl.study import Study
from feature_atlas.etl.warehouse.addition import AdditionReport, add_measurement
from feature_atlas.etl.warehouse.runs import RunName, resolve_run
from feature_atlas.vlm.harvest import harvest
from feature_atlas.vlm.head_probe import Head
from feature_atlas.vlm.token_roles import TEXT_ROLES, PromptBatch

STAGE = "custom_overlay"


class Shown(NamedTuple):
    """The heads that a run shows for a feature."""

    kinds: list[tuple[str, Head]]
    """Why, and which."""
    method: str
    """Of attribution, that ranked them."""


class Asked(NamedTuple):
    """One custom prompt."""

    feature: Feature
    """Whose heads."""
    image: Path
    """The picture's file."""
    question: str
    """What to ask about it."""


def overlay_custom(
    engine: Engine, home: Path, named: str, asked: Asked, console: Console
) -> AdditionReport:
    """Run the run's model on a picture and a question, and add what its heads do to the run.

    The same prompt a second time changes nothing.
    """
    with engine.connect() as connection:
        run = resolve_run(connection, named)
    shown = shown_heads(engine, run, asked.feature)
    study = run_study(home, run)
    watch = Stopwatch()
    rows = _rows(study, asked, shown)
    entry = _entry(study, asked, str(rows["custom_prompt"]["prompt"][0]), watch)
    report = add_measurement(engine, run.id, entry, rows)
    largest = rows["custom_prompt"]["max_activation"][0].as_py()
    layer, feature = asked.feature
    console.print(
        f"{report.slug}: {report.status}; layer {layer} feature {feature} "
        + (f"fires up to {largest:.3g}" if largest > 0 else "is silent")
        + f" on {asked.question!r}, {len(shown.kinds)} heads; it is on the Feature page"
    )
    return report


def shown_heads(engine: Engine, run: RunName, feature: Feature) -> Shown:
    """A feature's heads in `overlay`; an error that says which features have some."""
    with engine.connect() as connection:
        found = connection.execute(text(HEADS), {"run": run.id, **feature._asdict()}).all()
        others = connection.execute(text(OTHERS), {"run": run.id}).all() if not found else []
    if not found:
        some = ", ".join(f"layer {layer} feature {number}" for layer, number in others)
        raise ValueError(
            f"run {run.slug} shows no heads of layer {feature.layer} feature {feature.feature}: "
            + (f"choose one that it traced, such as {some}." if some else "it traced no feature.")
        )
    return Shown([(kind, (layer, head)) for kind, layer, head, _ in found], found[0].method)


@torch.no_grad()
def _rows(study: Study, asked: Asked, shown: Shown) -> dict[str, pa.Table]:
    """Rows of both tables, in the columns of a run folder."""
    picture = image_row(0, asked.image.absolute())
    prompt = hashlib.sha256(f"{picture['sha256']} {asked.question}".encode()).hexdigest()
    sample = Sample("custom", prompt, asked.image, asked.question, answer="")
    place = place_of(study, (picture["width"], picture["height"]))
    ((batch, _),) = study.prompts([sample])
    key = {**asked.feature._asdict(), "prompt": prompt}
    heads = [head for _, head in shown.kinds]
    of_tokens = batch_attention(study, batch, heads).weights[0].float().cpu().numpy()
    weights = place.tokens.laid(of_tokens)
    maps = [
        Map(0, kind, head, of_head, place)
        for (kind, head), of_head in zip(shown.kinds, weights, strict=True)
    ]
    n = len(maps)
    overlay = {name: [value] * n for name, value in (key | {"method": shown.method}).items()}
    said = {
        "question": asked.question,
        "image_sha256": picture["sha256"],
        "image_uri": picture["uri"],
        **{name: picture[name] for name in ("width", "height", "thumbnail")},
        **_activations(study, batch, asked.feature),
    }
    return {
        "custom_prompt": pa.table({name: [value] for name, value in (key | said).items()}),
        "custom_overlay": pa.table(overlay | map_columns(maps)),
    }


def _activations(study: Study, batch: PromptBatch, feature: Feature) -> dict[str, object]:
    """The feature's activation on each text token of one prompt."""
    tokens = harvest(study.vlm.model, batch, [feature.layer]).only(TEXT_ROLES)
    codes = encode(adapted_sae(study, "text", feature.layer), tokens.residuals[feature.layer])
    values = (codes.values * (codes.indices == feature.feature)).sum(1).float().cpu().numpy()
    is_text = torch.isin(batch.roles, torch.tensor(TEXT_ROLES, device=batch.roles.device))
    ids = batch.input_ids[is_text].tolist()
    return {
        "tokens": study.vlm.processor.tokenizer.batch_decode([[number] for number in ids]),
        "activations": values.astype(np.float32).tolist(),
        "max_activation": float(values.max()),
    }


def _entry(study: Study, asked: Asked, prompt: str, watch: Stopwatch) -> MeasurementEntry:
    """Where the rows come from."""
    params = {**asked.feature._asdict(), "question": asked.question, "prompt": prompt}
    overlay = str(require_stage(study.run, "overlay")["key"])
    return MeasurementEntry(
        stage=STAGE,
        params=params,
        params_hash=stable_hash(params),
        input_fingerprint=overlay,
        inputs={"overlay": overlay, "vlm": study.inputs["fingerprints"]["vlm"]},
        seeds=[],
        device=study.config.device,
        libraries=libraries(),
        started_at=watch.started,
        finished_at=watch.now(),
    )


HEADS = """
SELECT DISTINCT kind, head_layer, head, method FROM atlas.overlay
WHERE run_id = :run AND layer = :layer AND feature = :feature ORDER BY kind, head_layer, head
"""

OTHERS = """
SELECT DISTINCT layer, feature FROM atlas.overlay WHERE run_id = :run
ORDER BY layer, feature LIMIT 5
"""
