"""Processors of every family as they lie on a disk, without the packages that videos need."""

from pathlib import Path

import pytest
import torch
from families import TRIED, Family, family, prompts

from feature_atlas.etl.inputs.processors import read_processor


@pytest.mark.parametrize("name", TRIED)
def test_a_processor_that_was_saved_asks_the_same(name: str, tmp_path: Path) -> None:
    made = family(name)
    made.model.config.save_pretrained(tmp_path)
    made.processor.save_pretrained(tmp_path)

    read = Family(made.model, read_processor(tmp_path))

    before, after = prompts(made), prompts(read)
    assert torch.equal(before.input_ids, after.input_ids)
    assert torch.equal(before.roles, after.roles)
    assert before.processed.keys() == after.processed.keys()
    for tensor in before.processed:
        torch.testing.assert_close(before.processed[tensor], after.processed[tensor])


def test_a_folder_without_a_processor_is_refused_with_its_name(tmp_path: Path) -> None:
    family("llava").model.config.save_pretrained(tmp_path)

    with pytest.raises(ValueError, match=rf"{tmp_path} has no processor that transformers loads"):
        read_processor(tmp_path)
