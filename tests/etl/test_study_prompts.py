"""A run's prompts are the same to the last bit, whoever makes them and whatever is kept of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from stage_runs.some_layers import of_layers

from feature_atlas.etl.commands.demo import demo_config
from feature_atlas.etl.inputs import picture_shelf, prompt_workers
from feature_atlas.etl.inputs.feature_store import FeatureStore
from feature_atlas.etl.study import Study, open_run, open_study
from feature_atlas.toy.world import write_world
from feature_atlas.vlm.decoder_inputs import decoder_inputs
from feature_atlas.vlm.image_features import MeanImage, image_features
from feature_atlas.vlm.token_roles import Role, encode_prompts

pytestmark = pytest.mark.slow
SPLIT = "vqav2-val"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    world, home = tmp_path_factory.mktemp("world"), tmp_path_factory.mktemp("home")
    write_world(world, seed=3, n_train_images=4, n_val_images=5, n_vsr_images=24, n_text_scenes=2)
    config = of_layers(demo_config(world), (1,)).model_copy(update={"batch_size": 4})
    yield open_run(config, home)
    open_study.cache_clear()


def embeds(study: Study, **settings: object) -> torch.Tensor:
    """Before layer 0, of all tokens of a split's prompts, in their order."""
    parts = []
    for batch, _ in study.prompts(study.samples[SPLIT], **settings):
        parts.append(decoder_inputs(study.vlm.model, batch).embeds[batch.roles != Role.PAD])
    return torch.cat(parts)


@torch.no_grad()
def plain_embeds(study: Study) -> torch.Tensor:
    """One prompt at a time, by the processor and the model themselves."""
    processor, model, parts = study.vlm.processor, study.vlm.model, []
    for sample in study.samples[SPLIT]:
        picture = Image.open(sample.image).convert("RGB")
        batch = encode_prompts(
            processor, [sample.question], [picture], suffix=study.config.vlm.suffix
        )
        parts.append(decoder_inputs(model, batch).embeds[0])
    return torch.cat(parts)


def test_neither_workers_nor_what_is_kept_change_a_bit(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = plain_embeds(Study(run))
    kept = Study(run)
    assert [torch.equal(embeds(kept), expected) for _ in range(3)] == [True] * 3
    assert any((run / "scratch").rglob("*.safetensors"))
    assert torch.equal(embeds(Study(run)), expected)  # of the disk
    forgetful = Study(run)
    forgetful.pictures.store = FeatureStore(run / "none", most_bytes=0, memory_bytes=0)
    assert torch.equal(embeds(forgetful), expected)
    assert not any((run / "none").rglob("*.safetensors"))

    monkeypatch.setattr(prompt_workers, "WORTH_WORKERS", 0.0)
    forgetful.pictures.store = FeatureStore(run / "none", most_bytes=0, memory_bytes=0)

    assert torch.equal(embeds(forgetful), expected)


def test_what_is_kept_is_neither_opened_nor_computed_again(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(run)
    expected = [embeds(study) for _ in range(2)][1]
    monkeypatch.setattr(picture_shelf, "image_features", None)
    monkeypatch.setattr("feature_atlas.etl.inputs.prompt_maker.open_image", None)

    assert torch.equal(embeds(study), expected)


def test_the_mean_image_needs_no_picture(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study(run)
    d_model = study.base[1].w_enc.shape[0]
    mean = MeanImage((torch.arange(16.0 * d_model).view(16, d_model),))
    monkeypatch.setattr("feature_atlas.etl.inputs.prompt_maker.open_image", None)

    for batch, _ in study.prompts(study.samples[SPLIT], image=mean):
        found = decoder_inputs(study.vlm.model, batch).embeds
        for row in range(len(found)):
            assert torch.equal(found[row, batch.roles[row] == Role.IMAGE], mean.levels[0])


def test_pixels_are_there_where_they_are_asked_for(run: Path) -> None:
    study = Study(run)
    samples = study.samples[SPLIT][:3]
    ((bare, _),) = study.prompts(samples)
    ((batch, _),) = study.prompts(samples, with_pixels=True)
    with torch.no_grad():
        own = image_features(study.vlm.model, batch._replace(features=None))

    assert not any(name.startswith("pixel_") for name in bare.processed)
    torch.testing.assert_close(batch.features.levels[0], own.levels[0])
