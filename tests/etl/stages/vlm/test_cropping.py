import pytest
from families import family
from PIL import ImageOps
from transformers import CLIPImageProcessorPil

from feature_atlas.etl.run_folder.artifacts import StageOutput
from feature_atlas.etl.stages.vlm import cropping
from feature_atlas.etl.stages.vlm.cropping import warn_of_cropping


def warned(tmp_path, processor, sizes):
    output = StageOutput(tmp_path)
    warn_of_cropping(output, processor, sizes)
    return output.warnings


@pytest.fixture(scope="module")
def crops():
    return family("llava").processor


def test_oblong_pictures_that_are_cropped_are_a_warning_with_their_share(tmp_path, crops):
    (warning,) = warned(tmp_path, crops, [(64, 64), (128, 64), (64, 80), (64, 64)])

    assert "crops 50% of the pictures (2 of 4), of one 50% of its area" in warning
    assert "do_pad" in warning


def test_of_many_sizes_the_commonest_are_looked_at(tmp_path, crops, monkeypatch):
    monkeypatch.setattr(cropping, "N_SIZES", 2)

    (warning,) = warned(tmp_path, crops, [(90, 30), (64, 64), (128, 64), (64, 64), (128, 64)])

    assert "(2 of 4), of one 50% of its area" in warning


def test_square_pictures_are_no_warning(tmp_path, crops):
    assert warned(tmp_path, crops, [(64, 64), (100, 100)]) == []


@pytest.mark.parametrize("name", ["llava_next", "qwen2_5_vl", "internvl", "gemma3"])
def test_processors_that_show_the_whole_picture_are_no_warning(tmp_path, name):
    assert warned(tmp_path, family(name).processor, [(64, 64), (150, 60), (60, 200)]) == []


def test_padding_that_is_configured_and_not_done_is_a_warning(tmp_path):
    processor = family("llava").processor
    processor.image_processor.do_pad = True  # CLIP's class knows no such setting

    (warning,) = warned(tmp_path, processor, [(128, 64)])

    assert "of one 50% of its area" in warning


def test_a_processor_of_unknown_geometry_is_a_warning(tmp_path):
    class Mirrors(CLIPImageProcessorPil):
        def __call__(self, images, **settings):
            turned = [[ImageOps.mirror(picture) for picture in one] for one in images]
            return super().__call__(turned, **settings)

    processor = family("llava").processor
    processor.image_processor = Mirrors(**processor.image_processor.to_dict())

    (warning,) = warned(tmp_path, processor, [(64, 64), (128, 64)])

    assert warning.startswith("it is not known whether the image processor crops")
