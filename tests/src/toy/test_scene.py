from random import Random

from feature_atlas.toy.scene import N_CELLS, random_scene


def scenes(n: int, seed: int = 0) -> list:
    random = Random(seed)
    return [random_scene(random) for _ in range(n)]


def test_a_colour_names_one_thing():
    for scene in scenes(200):
        colours = [thing.colour for thing in scene.things]
        assert len(set(colours)) == len(colours)


def test_nothing_shares_a_cell_and_things_are_in_raster_order():
    for scene in scenes(200):
        cells = [thing.cell for thing in scene.things]
        assert cells == sorted(cells)
        taken = cells + ([scene.sign.cell] if scene.sign else [])
        assert len(set(taken)) == len(taken)
        assert set(taken) <= set(range(N_CELLS))


def test_scenes_hold_three_to_five_things_and_a_sign_in_four_of_ten():
    many = scenes(2000)

    assert {len(scene.things) for scene in many} == {3, 4, 5}
    assert 0.36 < sum(scene.sign is not None for scene in many) / len(many) < 0.44


def test_the_same_seed_gives_the_same_scenes():
    assert scenes(20, seed=3) == scenes(20, seed=3)
    assert scenes(20, seed=3) != scenes(20, seed=4)
