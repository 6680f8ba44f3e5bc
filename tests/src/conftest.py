"""An untrained VLM of the real architecture, small enough for any test."""

import pytest
import torch
from PIL import Image

from feature_atlas.toy.networks import new_language_model, new_vlm
from feature_atlas.toy.tokenizer import build_processor
from feature_atlas.vlm.residual_stream import freeze


@pytest.fixture(scope="session")
def processor():
    return build_processor()


@pytest.fixture(scope="session")
def llava():
    torch.manual_seed(0)
    model = new_vlm(new_language_model())
    for parameter in model.parameters():
        if not parameter.any():  # output projections start at zero, and nothing would pass a block
            torch.nn.init.normal_(parameter, std=0.05)
    return freeze(model)


@pytest.fixture(scope="session")
def pictures():
    noise = torch.randint(0, 255, (3, 64, 64, 3), generator=torch.Generator().manual_seed(1))
    return [Image.fromarray(picture.byte().numpy()) for picture in noise]
