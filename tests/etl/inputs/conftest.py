from pathlib import Path

import pytest
import torch

from feature_atlas.toy.networks import new_language_model, new_vlm
from feature_atlas.toy.tokenizer import build_processor


@pytest.fixture(scope="module")
def vlm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VLM of random weights as `save_pretrained` leaves it."""
    folder = tmp_path_factory.mktemp("vlm")
    torch.manual_seed(0)
    new_vlm(new_language_model()).save_pretrained(folder)
    build_processor().save_pretrained(folder)
    return folder
