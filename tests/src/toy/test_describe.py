from random import Random

from feature_atlas.toy.describe import caption, place, plural, positions, textual_scene
from feature_atlas.toy.scene import Scene, Sign, Thing

SCENE = Scene(
    (Thing("red", "circle", 0), Thing("blue", "star", 6), Thing("green", "cross", 15)), Sign("k", 4)
)


def test_rows_count_down_and_columns_count_right():
    assert place(0) == "row one column w"
    assert place(6) == "row two column y"
    assert place(15) == "row four column z"


def test_a_caption_lists_things_and_sign_in_raster_order():
    assert caption(SCENE) == (
        "red circle row one column w, sign k row two column w, "
        "blue star row two column y, green cross row four column z."
    )


def test_a_caption_without_a_sign_lists_things_only():
    assert "sign" not in caption(Scene(SCENE.things))


def test_a_textual_scene_says_the_colour_last():
    items = textual_scene(SCENE, Random(0)).rstrip(".").split(", ")

    assert sorted(items) == [
        "circle one w red",
        "cross four z green",
        "sign two w k",
        "star two y blue",
    ]


def test_a_textual_scene_is_in_any_order():
    assert len({textual_scene(SCENE, Random(seed)) for seed in range(20)}) > 5


def test_the_plural_of_cross_has_an_e():
    assert [plural(shape) for shape in ("cross", "star")] == ["crosses", "stars"]


def test_positions_are_all_relations_of_one_colour_to_the_next():
    assert positions(SCENE) == (
        "red circle green cross left of above far from, green cross blue star right of below."
    )
