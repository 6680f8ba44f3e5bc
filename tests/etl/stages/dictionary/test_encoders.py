"""Which encoder a configuration gets, and what is kept about it."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from feature_atlas.dictionary.certified import CertifiedEncoder
from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Encoder, Sae
from feature_atlas.etl.run_folder.artifacts import StageOutput
from feature_atlas.etl.stages.dictionary import encoders
from feature_atlas.etl.stages.dictionary.encoders import Encoded, text_encoders, write_fallbacks

LAYERS = (1, 4)


def some_sae() -> Sae:
    w_dec = torch.randn(256, 24)
    return Sae(w_dec.T.contiguous(), torch.randn(256), w_dec, torch.zeros(24), TopK(5), scale=0.5)


@pytest.fixture
def made(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """The encoders of a configuration that names one."""
    saes = {layer: some_sae() for layer in LAYERS}
    monkeypatch.setattr(encoders, "adapted_sae", lambda _, regime, layer: saes[layer])
    config = SimpleNamespace(harvest=SimpleNamespace(encoder=request.param))
    return text_encoders(SimpleNamespace(config=config, forget_dictionaries=lambda: None), LAYERS)


@pytest.mark.parametrize(
    ("made", "kind"), [("exact", Encoder), ("certified", CertifiedEncoder)], indirect=["made"]
)
def test_the_configuration_chooses_the_encoder_of_every_layer(made, kind):
    assert list(made) == list(LAYERS)
    assert all(isinstance(encoder, kind) and encoder.d_sae == 256 for encoder in made.values())


@pytest.mark.parametrize("made", ["certified"], indirect=True)
def test_tokens_and_fallbacks_are_kept_per_layer_and_logged(made, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    made[1].encode(torch.randn(30, 24))
    made[4].encode(torch.full((10, 24), torch.nan))  # nothing can be proved about these

    write_fallbacks(
        StageOutput(tmp_path), {layer: Encoded.by(encoder) for layer, encoder in made.items()}
    )

    with np.load(tmp_path / "certified.npz") as kept:
        assert kept["layer"].tolist() == [1, 4]
        assert kept["tokens"].tolist() == [30, 10]
        assert kept["fallbacks"].tolist() == [int(made[1].fallbacks), 10]
    assert "of 40 codes were left to the float32 product" in caplog.text


@pytest.mark.parametrize("made", ["exact"], indirect=True)
def test_the_exact_encoder_has_nothing_to_report(made, tmp_path):
    write_fallbacks(
        StageOutput(tmp_path), {layer: Encoded.by(encoder) for layer, encoder in made.items()}
    )

    assert list(tmp_path.iterdir()) == []
