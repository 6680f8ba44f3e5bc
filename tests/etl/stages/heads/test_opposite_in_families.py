"""Pictures with the opposite answer where a picture's size decides how many tokens it has."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from families import family
from PIL import Image

from feature_atlas.etl.config.inputs import VlmConfig
from feature_atlas.etl.inputs.checkpoints import Vlm
from feature_atlas.etl.inputs.feature_store import FeatureStore
from feature_atlas.etl.inputs.picture_shelf import PictureShelf
from feature_atlas.etl.inputs.prompt_maker import PromptMaker
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.stages.heads.clean_and_corrupt import clean_and_corrupt
from feature_atlas.etl.study import Study
from feature_atlas.heads.head_attribution import run_clean_and_corrupt
from feature_atlas.vlm.residual_stream import decoder_layers
from feature_atlas.vlm.token_roles import Role, encode_prompts

CAPTION = "is the red circle left of the blue square"
SIZES = {"yes": (60, 40), "no": (30, 120)}


def study_of(name: str, folder: Path) -> Study:
    """Two statements of one relation, with opposite answers, about pictures of other shapes."""
    noise, samples = np.random.default_rng(0), []
    for answer, (width, height) in SIZES.items():
        shown = noise.integers(0, 255, (height, width, 3), dtype=np.uint8)
        Image.fromarray(shown).save(folder / f"{answer}.png")
        samples.append(
            Sample(
                "vsr-train", answer, folder / f"{answer}.png", CAPTION, answer, relation="left of"
            )
        )
    made = family(name)
    study = Study.__new__(Study)
    study.run = folder
    study.config = SimpleNamespace(  # type: ignore[assignment]  # what prompts are made by
        vlm=VlmConfig(path="tiny", name="tiny", base="tiny"), batch_size=4, device="cpu", seed=0
    )
    study.vlm = Vlm(made.model, made.processor)
    study.samples = {"vsr-train": samples}
    study.mean_image = None  # type: ignore[assignment]  # of no use here
    study.pictures = PictureShelf(
        study.vlm, PromptMaker(made.processor, ""), FeatureStore(folder, 1e9)
    )
    return study


@pytest.mark.parametrize(
    "name", ["llava_next", "llava_onevision", "qwen2_5_vl", "qwen3_vl", "idefics3", "smolvlm"]
)
@torch.no_grad()
def test_the_other_picture_is_brought_to_the_size_of_the_samples_own(name: str, tmp_path: Path):
    """The corrupt run is the model's own forward on that picture, resized by hand."""
    study = study_of(name, tmp_path)
    model, processor = study.vlm.model, study.vlm.processor
    own, other = (Image.open(tmp_path / f"{answer}.png") for answer in SIZES)
    assert study.pictures_vary
    n_image = [
        int((encode_prompts(processor, [CAPTION], [picture]).roles == Role.IMAGE).sum())
        for picture in (own, other)
    ]
    assert n_image[0] != n_image[1]
    expected = encode_prompts(processor, [CAPTION], [other.resize(own.size)])
    left: dict[str, torch.Tensor] = {}
    handle = decoder_layers(model)[-1].register_forward_hook(
        lambda _m, _i, out: left.update(y=out[0] if isinstance(out, tuple) else out)
    )
    model(expected.input_ids, attention_mask=expected.attention_mask, **expected.processed)
    handle.remove()

    [prompts] = clean_and_corrupt(study, [0], 1, "opposite")
    runs = run_clean_and_corrupt(model, prompts.both(model), [len(decoder_layers(model)) - 1])

    assert torch.equal(prompts.batch.input_ids, expected.input_ids)
    residual = runs.heads.residual.detach()
    torch.testing.assert_close(residual[1:], left["y"], rtol=1e-4, atol=1e-4)
    assert (residual[0] - residual[1]).abs().max() > 1e-2
