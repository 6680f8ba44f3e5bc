"""The paper's method section as a Prefect flow.

Every stage is a plain function elsewhere in this folder; here are only their order, retries and
artifacts. Tasks pass the run's folder; tensors stay in files. Whether a stage is done is decided
by its own record in the run folder, and whether a run is published by the database, never by
Prefect's cache.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.postgres.embedded import ensure_database
from feature_atlas.etl.run_folder.artifacts import SCRATCH, Stage
from feature_atlas.etl.run_folder.manifest_writing import write_run_manifest
from feature_atlas.etl.stages.ablation.ablation import run_ablation
from feature_atlas.etl.stages.ablation.group_ablation import run_group_ablation
from feature_atlas.etl.stages.ablation.spatial_code import run_spatial_code
from feature_atlas.etl.stages.ablation.spatial_code_ablation import run_spatial_code_ablation
from feature_atlas.etl.stages.ablation.steering import run_steering
from feature_atlas.etl.stages.ablation.supervised_ablation import run_supervised_ablation
from feature_atlas.etl.stages.ablation.supervised_direction import run_supervised_direction
from feature_atlas.etl.stages.ablation.supervised_steering import run_supervised_steering
from feature_atlas.etl.stages.dictionary.adapt import adapt_streams, run_adapt
from feature_atlas.etl.stages.dictionary.gate_check import run_gate_check
from feature_atlas.etl.stages.features.activation_histogram import run_activation_histogram
from feature_atlas.etl.stages.features.decoder_cosine import run_decoder_cosine
from feature_atlas.etl.stages.features.example import run_example
from feature_atlas.etl.stages.features.firing_shift import run_firing_shift
from feature_atlas.etl.stages.features.harvest import run_harvest
from feature_atlas.etl.stages.features.latent_scaling import run_latent_scaling
from feature_atlas.etl.stages.features.logit_effect import run_logit_effect
from feature_atlas.etl.stages.features.nearest_feature import run_nearest_feature
from feature_atlas.etl.stages.features.neutral_prompt import run_neutral_prompt
from feature_atlas.etl.stages.features.patch_activation import run_patch_activation
from feature_atlas.etl.stages.features.sample_skill import run_sample_skill
from feature_atlas.etl.stages.features.seed_stability import run_seed_stability
from feature_atlas.etl.stages.features.selection import run_selection
from feature_atlas.etl.stages.features.visual_energy import run_visual_energy
from feature_atlas.etl.stages.heads.exact_patch import run_exact_patch
from feature_atlas.etl.stages.heads.head_attribution import run_head_attribution
from feature_atlas.etl.stages.heads.head_knockout import run_head_knockout
from feature_atlas.etl.stages.heads.overlay import run_overlay
from feature_atlas.etl.stages.meaning.auto_interp import run_auto_interp
from feature_atlas.etl.stages.meaning.chance_score import run_chance_score
from feature_atlas.etl.stages.meaning.intruder import run_intruder
from feature_atlas.etl.stages.meaning.output_score import run_output_score
from feature_atlas.etl.stages.vlm.forward_check import run_forward_check
from feature_atlas.etl.stages.vlm.mean_image import run_mean_image
from feature_atlas.etl.stages.vlm.samples_table import run_samples
from feature_atlas.etl.study import open_run, open_study
from feature_atlas.etl.warehouse.load import IngestReport, ingest
from feature_atlas.models.session import make_engine


@flow(name="build-atlas", log_prints=False)
def build_atlas(config: RunConfig, home: Path) -> IngestReport:
    """Build one version of the atlas: every stage, then one publish."""
    run = open_run(config, home)
    run_method(run, stage)
    report = publish(write_manifest(run))
    shutil.rmtree(run / SCRATCH, ignore_errors=True)
    return report


def run_method(run: Path, stage: Callable[..., Any]) -> None:
    """The paper's stages in the paper's order, each run by `stage`."""
    stage(run_forward_check, run)  # 3.1  is the model run as it runs by itself
    stage(run_gate_check, run)  # 3.2  do the base dictionaries do what their release says
    stage(run_samples, run)  # the questions, answers and pictures
    stage(run_sample_skill, run)  # 4.3  which questions ask for a skill, by which rule
    stage(run_mean_image, run)  # 5.2  what "no spatial information" is
    for stream in adapt_streams(open_study(run)):  # 4.1  dictionaries meet their models
        stage(run_adapt, run, stream)
    stage(run_decoder_cosine, run)  # 4.2  which features turned
    stage(run_latent_scaling, run)  # or are only used less
    stage(run_nearest_feature, run)  # and which features are near to which
    stage(run_harvest, run)  # 4.2, 4.3  one pass: energies, firing counts, top samples
    stage(run_visual_energy, run)  # 4.2  which see
    stage(run_activation_histogram, run)  # and how strongly, on which kind of token
    stage(run_logit_effect, run)  # and which tokens their directions write
    stage(run_selection, run)  # 4.2  the adapted set
    stage(run_firing_shift, run)  # 4.3  which are recruited by a skill
    stage(run_neutral_prompt, run)  # 4.3  which are more than the words of the question
    stage(run_seed_stability, run)  # 4.2, 4.3  and what of this another order of the data repeats
    stage(run_example, run)  # 5.1  what they fire on
    stage(run_patch_activation, run)  # 5.1  and where in their pictures
    stage(run_ablation, run)  # 5.3  what breaks without them
    stage(run_group_ablation, run)  # 5.3  and without several at once
    stage(run_steering, run)  # 5.3  and what adding them does
    stage(run_supervised_direction, run)  # what labels would have found instead
    stage(run_supervised_ablation, run)  # and what breaks without that
    stage(run_supervised_steering, run)  # and what adding that does
    stage(run_spatial_code, run)  # where the model says that objects are
    stage(run_spatial_code_ablation, run)  # and whether features are only that
    stage(run_head_attribution, run)  # 5.2  which heads drive them
    stage(run_exact_patch, run)  # 5.2  whether these heads are causes
    stage(run_head_knockout, run)  # 5.2, 5.3  what breaks without these heads
    stage(run_overlay, run)  # 5.2  what those heads look at
    stage(run_auto_interp, run)  # 5.1  what they mean, and how well that holds
    stage(run_chance_score, run)  # 4, 5  and what of all this a dictionary gets that knows nothing
    stage(run_intruder, run)  # and whether their samples belong together
    stage(run_output_score, run)  # 5.1, 5.3  whether the model says what they write


def stage(body: Callable[..., Stage], run: Path, *parts: str | int) -> Stage:
    """Run one stage as a task named after it, so that Prefect shows the paper's steps."""
    name = "-".join([body.__name__.removeprefix("run_"), *map(str, parts)])
    return run_one_stage.with_options(name=name, task_run_name=name)(body, run, *parts)


@task(retries=1, retry_delay_seconds=5, cache_policy=NO_CACHE, persist_result=False)
def run_one_stage(body: Callable[..., Stage], run: Path, *parts: str | int) -> Stage:
    """One stage: skipped when its record says that it is done; leaves a short artifact."""
    done = body(run, *parts)
    status = "found, not run again" if done.was_done else f"ran in {done.seconds:.1f} s"
    create_markdown_artifact(
        markdown=f"**{done.name}** {status}\n\nkey `{done.key[:12]}` in `{run.name}`",
        key=f"stage-{done.name.replace('_', '-')}",
    )
    return done


@task(cache_policy=NO_CACHE, persist_result=False)
def write_manifest(run: Path) -> Path:
    """Write the manifest: every file with its shape, hash and provenance."""
    return write_run_manifest(run)


@task(retries=1, retry_delay_seconds=5, cache_policy=NO_CACHE, persist_result=False)
def publish(run: Path) -> IngestReport:
    """Load the run folder and flip the published pointer; readers see all of it or nothing."""
    report = ingest(run, make_engine(ensure_database()))
    create_table_artifact(
        table=[{"table": name, "rows": rows} for name, rows in report.rows.items()],
        key="published-rows",
        description=f"{run.name}: {report.status}",
    )
    return report
