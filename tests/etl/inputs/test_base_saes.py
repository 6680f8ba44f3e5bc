import pytest
import torch
from random_sae import some_sae

from feature_atlas.etl.config.inputs import SaeConfig
from feature_atlas.etl.inputs import base_saes
from feature_atlas.etl.inputs.base_saes import BaseSaes
from feature_atlas.etl.inputs.saes import load_sae, save_sae


@pytest.fixture
def config(tmp_path) -> SaeConfig:
    for layer in range(4):
        torch.manual_seed(layer)
        save_sae(some_sae(scale=1.0 + layer, d_model=12), tmp_path / f"layer_{layer}", {})
    return SaeConfig(path=str(tmp_path / "layer_{layer}"), release="r", layers=(0, 1, 3))


class Skeleton:
    """As much of a model as is read."""


@pytest.fixture
def base(config, monkeypatch) -> BaseSaes:
    monkeypatch.setattr(base_saes, "decoder_layers", lambda _: range(4))
    inner = Skeleton()
    inner.config = Skeleton()
    inner.config.hidden_size = 12
    monkeypatch.setattr(base_saes, "text_model", lambda _: inner)
    return BaseSaes(config, None, "cpu")


@pytest.fixture
def reads(monkeypatch) -> list[int]:
    found, load = [], base_saes.load_base_sae

    def told(config, layer):
        found.append(layer)
        return load(config, layer)

    monkeypatch.setattr(base_saes, "load_base_sae", told)
    return found


def test_the_layers_are_those_of_the_configuration_each_from_its_own_file(base, config):
    assert list(base) == [0, 1, 3]
    for layer, sae in base.items():
        file = load_sae(base_saes.sae_folder(config, layer))
        assert torch.equal(sae.w_dec, file.w_dec)
    assert base.facts.scales == [1.0, 2.0, 4.0]
    assert (base.facts.d_model, base.facts.d_sae) == (12, 40)
    with pytest.raises(KeyError):
        base[2]


def test_a_dictionary_that_is_kept_is_not_read_again(base, reads):
    for _ in range(2):
        for layer in base:
            base[layer]

    assert reads == [0, 1, 3]


def test_no_more_are_kept_than_have_room_the_last_used_longest(base, reads):
    one = base.in_main_memory(0)
    base.kept.most_bytes = 2 * (one.w_enc.nbytes + one.w_dec.nbytes)

    for layer in (1, 0, 3, 0, 1):
        base[layer]
        assert len(base.kept.kept) <= 2

    assert reads == [0, 1, 3, 1]


def test_the_one_in_use_is_kept_where_there_is_room_for_none(base):
    base.kept.most_bytes = 0

    assert base[3] is not None
    assert list(base.kept.kept) == [3]
