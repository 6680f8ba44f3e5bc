"""How much is done together: by numbers done by hand, and kept once a run has begun."""

import pytest

from feature_atlas.etl import at_once
from feature_atlas.etl.at_once import AtOnce, ModelMemory, decided, decided_here
from feature_atlas.etl.commands.demo import demo_config

SMALL = ModelMemory(
    text_parameters=2800, parameters=3000, depth=4, d_model=10, n_tokens=10, number=2
)
"""6,000 bytes of weights; a prompt with all residuals 10 x (20 + 4) x 10 x 2 = 4,800; gradients of
a sample 20 / 5,600 x 2,800 x 10 = 100."""


@pytest.mark.parametrize(
    ("device", "n_prompts"),
    [
        (6_000 + 4 * 4_800, 1),
        (6_000 + 4 * 7 * 4_800, 4),  # seven fit a quarter of what is left: four of them
        (6_000 + 4 * 8 * 4_800, 8),
        (10**9, 32),
        (1_000, 1),  # it does not fit at all, and the plan says so
    ],
)
def test_a_batch_is_the_power_of_two_that_a_quarter_of_the_room_holds(device, n_prompts):
    assert SMALL.at_once(device).prompts == n_prompts


def test_long_prompts_are_fewer_at_once():
    assert SMALL._replace(n_tokens=4_000).at_once(10**12).prompts == 4, "of 16,384 tokens"
    assert SMALL._replace(n_tokens=20_000).at_once(10**12).prompts == 1


@pytest.mark.parametrize(("room", "n_samples"), [(0, 1), (150, 1), (250, 2), (390, 3), (10**6, 4)])
def test_so_many_samples_are_attributed_as_fit_beside_the_weights(room, n_samples):
    assert SMALL.at_once((6_000 + room) / 0.95).samples == n_samples


def test_settings_overrule_and_a_run_keeps_what_it_began_with(small_world, monkeypatch):
    asked = demo_config(small_world).model_copy(update={"batch_size": None})
    begun = decided_here(asked, None)
    assert (begun.batch_size, begun.head_attribution.samples_at_once) == (32, 4)

    monkeypatch.setattr(at_once, "device_memory", lambda device: 30 * 2**20)  # 14.5 are weights

    assert decided_here(asked, begun.model_dump(mode="json")) == begun
    assert decided_here(asked, None).batch_size < 32
    changed = asked.model_copy(update={"name": "another"})
    assert decided_here(changed, begun.model_dump(mode="json")).batch_size < 32
    assert decided_here(decided(asked, AtOnce(7, 2)), None) == decided(asked, AtOnce(7, 2))
