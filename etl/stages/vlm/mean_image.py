"""Stage `mean_image`: the mean image embedding that stands for "no spatial information" (5.2)."""

from pathlib import Path

from feature_atlas.etl.run_folder.artifacts import Stage, run_stage
from feature_atlas.etl.study import open_study
from feature_atlas.vlm.harvest import mean_image_embedding


def run_mean_image(run: Path) -> Stage:
    """Average the projector's output at each patch over images of the adaptation samples."""
    study = open_study(run)
    n_images = study.config.head_attribution.n_mean_images
    by_image = {s.image: s for s in study.samples["vqav2-train"]}
    chosen = list(by_image.values())[:n_images]

    return run_stage(
        run,
        "mean_image",
        params={"n_images": n_images},
        reads=[],
        body=lambda output: output.arrays(
            "mean_image",
            embedding=mean_image_embedding(
                study.vlm.model, (batch for batch, _ in study.prompts(chosen))
            )
            .float()
            .cpu()
            .numpy(),
        ),
    )
