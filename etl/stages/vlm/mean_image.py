"""Stage `mean_image`: the mean image embedding that stands for "no spatial information" (5.2)."""

from pathlib import Path

from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.study import Study, level_names, open_study
from feature_atlas.vlm.image_features import mean_image


def run_mean_image(run: Path) -> Stage:
    """Average the projector's output at each place over images of the adaptation samples."""
    study = open_study(run)
    n_images = study.config.head_attribution.n_mean_images
    by_image = {s.image: s for s in study.samples["vqav2-train"]}
    chosen = list(by_image.values())[:n_images]
    return run_stage(
        run,
        "mean_image",
        params={"n_images": n_images},
        reads=[],
        body=lambda output: _write(output, study, chosen),
    )


def _write(output: StageOutput, study: Study, chosen: list[Sample]) -> None:
    mean = mean_image(study.vlm.model, (batch for batch, _ in study.prompts(chosen)))
    levels = zip(level_names(len(mean.levels)), mean.levels, strict=True)
    output.arrays("mean_image", **{name: level.float().cpu().numpy() for name, level in levels})
    if study.pictures_vary:
        output.warn(
            "pictures have different numbers of image tokens: the mean image is one row for all "
            "places, not one for each"
        )
