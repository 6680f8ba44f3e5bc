from types import SimpleNamespace

from transformers import CLIPImageProcessorPil

from feature_atlas.etl.run_folder.artifacts import StageOutput
from feature_atlas.etl.stages.vlm.cropping import warn_of_cropping

CROPS = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})


def warned(tmp_path, processor, sizes):
    output = StageOutput(tmp_path)
    warn_of_cropping(output, processor, sizes)
    return output.warnings


def test_oblong_pictures_that_are_cropped_are_a_warning_with_their_share(tmp_path):
    (warning,) = warned(tmp_path, CROPS, [(64, 64), (128, 64), (64, 80), (64, 64)])

    assert "crops 50% of the pictures (2 of 4), of one 50% of its area" in warning
    assert "do_pad" in warning


def test_square_pictures_are_no_warning(tmp_path):
    assert warned(tmp_path, CROPS, [(64, 64), (100, 100)]) == []


def test_a_processor_of_unknown_geometry_is_a_warning(tmp_path):
    dynamic = SimpleNamespace(do_resize=True, size={"longest_edge": 100})

    (warning,) = warned(tmp_path, dynamic, [(64, 64)])

    assert warning.startswith("it is not known whether the image processor crops")
