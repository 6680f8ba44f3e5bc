"""Configurations that cannot train are refused."""

import pytest

from feature_atlas.etl.config.features import AdaptConfig
from feature_atlas.etl.config.run_config import RunConfig


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"regimes": ("image",)}, "must name text"),
        ({"regimes": ("text", "text")}, "regimes names text twice"),
        ({"buffer_size": 10}, "buffer_size 10 is less than one batch of 4096"),
    ],
)
def test_a_configuration_that_cannot_train_is_refused(changes: dict, said: str):
    with pytest.raises(ValueError, match=said):
        AdaptConfig(**changes)


def test_the_regime_instruct_and_its_model_go_together(config: RunConfig):
    values = config.model_dump() | {"instruct": {"path": "somewhere"}}

    with pytest.raises(ValueError, match="name both, or neither"):
        RunConfig.model_validate(values)
