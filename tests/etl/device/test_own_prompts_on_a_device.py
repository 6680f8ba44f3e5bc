"""A prompt of one's own fires on a device what it fires on the CPU."""

from pathlib import Path

import pytest
from pretended_device import DEVICE, pretended_device
from stage_runs.own_prompt_run import LAYERS, random_run

from feature_atlas.etl.inputs.pictures import open_image
from feature_atlas.etl.own_prompt.prompt_activations import (
    Asked,
    Order,
    PromptActivations,
    prompt_activations,
)
from feature_atlas.etl.stages.features.feature_choice import Feature


@pytest.mark.parametrize("order", Order)
def test_a_prompt_is_encoded_without_a_mix_of_devices(
    order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fired(device: str) -> PromptActivations:
        run = random_run(tmp_path / "run", monkeypatch, device=device)
        picture = open_image(run.pictures[0])
        also = (Feature(1, 9),)
        return prompt_activations(
            run.model, Asked(picture, "how many ?", LAYERS, order=order, also=also)
        )

    with pretended_device() as mistakes:
        there = fired(DEVICE)

    assert not mistakes, "\n".join(map(str, mistakes))
    here = fired("cpu")
    assert there._replace(strongest=[], features=[]) == here._replace(strongest=[], features=[])
    for found, expected in zip(there.features, here.features, strict=True):
        assert found[:3] == expected[:3]  # attention may add in another order: numbers are close
        assert found.activations == pytest.approx(expected.activations, rel=1e-4)
