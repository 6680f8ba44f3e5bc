"""Pictures, marked tokens and charts from small inputs."""

from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from feature_atlas.dashboards.features.feature_table import with_links
from feature_atlas.dashboards.features.marked_text import marked_text
from feature_atlas.dashboards.features.scatter import chosen_box, energy_floor, half_bin, scatter
from feature_atlas.dashboards.heads.attention_overlay import Seen, crisp, overlay
from feature_atlas.dashboards.heads.head_map import top_heads


def png(pixels: np.ndarray) -> bytes:
    stored = BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stored, "PNG")
    return stored.getvalue()


def test_tiny_pictures_are_enlarged_without_new_colours() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3))

    large = np.asarray(crisp(png(pixels)))

    assert large.shape == (4 * 48, 4 * 64, 3)
    np.testing.assert_array_equal(large[::4, ::4], pixels)
    np.testing.assert_array_equal(large[3::4, 3::4], pixels)


def test_large_pictures_keep_their_size() -> None:
    assert crisp(png(np.zeros((300, 400, 3)))).size == (400, 300)


def test_the_patch_a_head_looks_at_stays_clear() -> None:
    white = png(np.full((8, 8, 3), 255))

    shown = np.asarray(overlay(white, [0, 0, 0, 0.2, 0, 0], grid_rows=2, grid_columns=3)).mean(-1)

    rows, columns = shown.shape
    assert shown[-1, 0] == 255  # row 1, column 0: row by row from the top left
    assert shown[0, 0] < 90
    assert shown[-1, columns // 2] < 90
    assert shown[rows // 2 - 2, 0] < 90


def test_a_head_that_never_looks_leaves_all_dark() -> None:
    shown = np.asarray(overlay(png(np.full((8, 8, 3), 255)), [0.0] * 4, 2, 2))

    assert shown.max() < 90


def test_a_square_grid_covers_the_centre_of_an_oblong_picture() -> None:
    shown = np.asarray(overlay(png(np.full((256, 512, 3), 255)), [1.0] * 4, 2, 2)).mean(-1)

    assert shown[128, 256] == 255
    assert shown[128, 127] < 90
    assert shown[128, 128] == 255
    assert shown[128, 384] < 90


def brightness(size: tuple[int, int], weights: list[float], n: int, seen: Seen) -> np.ndarray:
    white = png(np.full((size[1], size[0], 3), 255))
    return np.asarray(overlay(white, weights, n, n, seen)).mean(-1)


def test_a_padded_grid_reaches_beyond_the_picture() -> None:
    """512 x 256 padded to a square: of 4 x 4 patches only the middle two rows are on it."""
    shown = brightness((512, 256), [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], 4,
                       Seen(0, -0.5, 1, 1.5))  # fmt: skip

    # row 1 column 0, and row 2 column 3
    assert shown[:128, :128].min() == shown[128:, 384:].min() == 255
    assert shown[:128, 128:].max() < 90
    assert shown[128:, :384].max() < 90


def test_a_cropped_grid_leaves_dark_what_was_not_seen() -> None:
    shown = brightness((512, 256), [1.0] * 4, 2, Seen(0.125, 0, 0.625, 1))

    assert shown[:, 64:320].min() == 255
    assert shown[:, :64].max() < 90
    assert shown[:, 320:].max() < 90


@pytest.mark.parametrize("seed", range(3))
def test_patches_are_drawn_where_the_processor_took_them_from(seed: int) -> None:
    """A centre crop of an oblong picture, by numpy: each patch of the crop repeated."""
    random = np.random.default_rng(seed)
    weights = random.random(16)
    weights[3] = 1.0

    shown = brightness((400, 256), weights.tolist(), 4, Seen(72 / 400, 0, 328 / 400, 1))

    expected = np.kron(weights.reshape(4, 4), np.ones((64, 64)))
    order = np.argsort(expected, axis=None, kind="stable")
    inside = shown[:, 72:328].ravel()[order]
    assert (np.diff(inside) >= 0).all()  # as bright as its patch's weight, in the same place
    assert len(np.unique(inside)) >= 14
    assert shown[:, :72].max() < 90


def test_weights_that_do_not_fill_the_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="5 weights came for a grid of 2 x 3; expected 6"):
        overlay(png(np.zeros((8, 8, 3))), [0.1] * 5, 2, 3)


def test_tokens_are_escaped_and_shaded_by_activation() -> None:
    text = marked_text(["<b>", " left", " of"], [0.0, 4.0, 2.0])

    assert "<span>&lt;b&gt;</span>" in text
    assert 'rgba(224, 142, 30,0.90)" title="activation 4"> left</span>' in text
    assert 'rgba(224, 142, 30,0.53)" title="activation 2"> of</span>' in text


def test_tokens_without_their_spaces_are_set_apart() -> None:
    assert "</span> <span>" in marked_text(["is", "it"], [0.0, 0.0])
    assert "</span><span>" in marked_text(["is", " it"], [0.0, 0.0])


def test_shade_is_relative_to_the_page_not_to_the_sample() -> None:
    assert ",0.53)" in marked_text(["a"], [1.0], strongest=2.0)


def test_tokens_need_one_activation_each() -> None:
    with pytest.raises(ValueError, match="2 tokens came with 1 activations"):
        marked_text(["a", "b"], [1.0])


def test_top_heads_are_negative_in_a_and_positive_in_b() -> None:
    scores = {"A": [-3.0, 2.0, -1.0], "B": [5.0, -4.0, 0.5]}
    attributions = pd.DataFrame(
        [
            {"method": m, "head_layer": 0, "head": h, "score": s, "standard_error": 0.1}
            | {"evidence": "causal" if h == 0 else "screened"}
            for m, of_method in scores.items()
            for h, s in enumerate(of_method)
        ]
    )

    top = top_heads(attributions, 2)

    assert top.name.tolist() == ["L0H0", "L0H2"]
    assert top.in_both.all()
    assert top.rank_A.tolist() == [1, 2]
    assert top.score_A.tolist() == [-3, -1]
    assert top.evidence_B.tolist() == ["causal", "screened"]


def test_features_that_never_fire_lie_below_all_others() -> None:
    assert energy_floor(pd.Series([0.0, 0.4, 8.0])) == pytest.approx(0.1)
    assert energy_floor(pd.Series([0.0])) > 0


def test_a_box_down_to_the_lowest_line_takes_in_energy_zero() -> None:
    low, high = chosen_box({"box": [{"x": [0.2, 0.4], "y": [0.05, 3.0]}]}, floor=0.1)[1]

    assert low == 0
    assert high == pytest.approx(3.0, rel=1e-5)  # a little above: the line itself is in


def test_clicked_points_are_a_box_around_them() -> None:
    selection = {"box": [], "points": [{"x": 0.5, "y": 2.0}]}

    (left, right), (low, high) = chosen_box(selection, floor=0.1)

    assert left < 0.5 < right
    assert low < 2.0 < high
    assert chosen_box({"box": [], "points": []}, floor=0.1) is None


def test_a_clicked_bin_stands_for_all_of_it() -> None:
    bins = pd.DataFrame(
        {"cosine": [0.1, 0.3, 0.5], "visual_energy": [0.0, 1.0, 100.0], "n_features": [9, 1, 1]}
    )
    selection = {"points": [{"x": 0.3, "y": 1.0, "customdata": [1]}]}

    cosines, energies = chosen_box(selection, floor=0.01, half=half_bin(bins))

    assert cosines == pytest.approx((0.2, 0.4), abs=1e-5)
    assert energies == pytest.approx((0.1, 10.0), rel=1e-5)


def test_a_cloud_of_bins_and_an_empty_mark_list_draw() -> None:
    cloud = pd.DataFrame(
        {
            "is_adapted": [False, True],
            "cosine": [0.9, 0.2],
            "visual_energy": [0.0, 3.0],
            "n_features": [10_000, 3],
        }
    )
    flags = ["is_spatial_candidate", "survives_spatial", "survives_ocr"]
    marked = pd.DataFrame({name: pd.Series(dtype=bool) for name in flags}).assign(
        **{
            name: pd.Series(dtype=float)
            for name in ("cosine", "visual_energy", "ablation_delta", "label")
        }
    )

    figure = scatter(cloud, marked, epsilon=1e-3)

    assert [trace.name for trace in figure.data] == ["all features", "adapted"]
    assert figure.data[0].y[0] == pytest.approx(0.75)  # a quarter of the smallest energy


def test_links_name_run_layer_and_feature() -> None:
    linked = with_links(pd.DataFrame({"layer": [3], "feature": [176]}), run_id=2)

    assert linked.link[0] == "feature?run=2&layer=3&feature=176"
