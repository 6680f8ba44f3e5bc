"""A run on dictionaries with a threshold instead of k: checked, adapted, read by both encoders."""

from pathlib import Path

import pytest
import torch
from stage_runs.adapted_run import LAYERS, opened

from feature_atlas.dictionary.certified_threshold import CertifiedThreshold
from feature_atlas.dictionary.gate import Threshold
from feature_atlas.dictionary.sae import Encoder, encode
from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.inputs.saes import save_sae
from feature_atlas.etl.run_folder.artifacts import read_json, read_rows
from feature_atlas.etl.stages.dictionary.adapt import (
    adapt_streams,
    adapted_sae,
    run_adapt,
    training_facts,
)
from feature_atlas.etl.stages.dictionary.base_text import base_text_tokens
from feature_atlas.etl.stages.dictionary.encoders import text_encoders
from feature_atlas.etl.stages.dictionary.gate_check import run_gate_check
from feature_atlas.etl.study import Study, open_study
from feature_atlas.vlm.token_roles import Role

L0 = 16


@pytest.fixture(scope="module")
def thresholds(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """The shipped dictionaries, firing whatever exceeds the cut that 16 features of a token do."""
    home = tmp_path_factory.mktemp("thresholds")
    topk = opened(config, home)
    for layer in LAYERS:
        residual, sae = held_out(topk, layer), topk.base[layer]
        strength = (sae.scale * residual) @ sae.w_enc + sae.b_enc
        cut = strength.flatten().topk(L0 * len(residual)).values[-1]
        said = {"hook_name": f"model.layers.{layer}.output", "l0": L0}
        gate = Threshold(torch.full((len(sae.b_enc),), float(cut)))
        save_sae(sae._replace(gate=gate), home / "saes" / f"layer_{layer}", said)
    path = str(home / "saes" / "layer_{layer}")
    changed = {
        "name": "thresholds",
        "sae": config.sae.model_copy(update={"path": path}),
        "base_model": config.base_model.model_copy(update={"stated": {}, "n_gate_tokens": 2000}),
        "adapt": config.adapt.model_copy(update={"regimes": ("text", "refit")}),
        "harvest": config.harvest.model_copy(update={"encoder": "certified"}),
    }
    return config.model_copy(update=changed)


@pytest.fixture(scope="module")
def adapted(thresholds: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = opened(thresholds, tmp_path_factory.mktemp("home"))
    run_gate_check(study.run)
    for stream in adapt_streams(study):
        run_adapt(study.run, stream)
    return open_study(study.run)


def held_out(study: Study, layer: int) -> torch.Tensor:
    tokens = next(base_text_tokens(study, [layer], part="held_out")).only((Role.QUESTION,))
    return tokens.residuals[layer].float()


def test_the_gate_check_holds_the_mean_l0_to_the_stated_one(adapted: Study):
    rows = read_rows(adapted.run, "gate_check", "gate_check")

    for row in rows:
        assert row["stated_l0"] == L0
        assert row["l0"] == pytest.approx(L0, rel=0.2)
        assert row["fvu"] < 0.05


def test_the_run_says_which_gate_it_is(adapted: Study):
    facts = read_json(adapted.run / "inputs.json")["sae_set"]

    assert (facts["gate"], facts["k"]) == ("threshold", None)
    assert facts["threshold"] == [float(adapted.base[i].gate.theta[0]) for i in LAYERS]
    params = read_json(adapted.run / "adapt-prompts" / "stage.json")["params"]
    assert params["thresholds"] == "frozen"


@pytest.mark.parametrize("layer", LAYERS)
def test_adapted_weights_moved_and_thresholds_did_not(adapted: Study, layer: int):
    base, sae = adapted.base[layer], adapted_sae(adapted, "text", layer)
    norm = torch.from_numpy(training_facts(adapted, "text", layer)["decoder_norm"])

    assert not torch.allclose(sae.w_enc, base.w_enc, atol=1e-3)
    torch.testing.assert_close(sae.gate.theta, base.gate.theta * norm)  # saved with unit rows


@pytest.mark.parametrize("layer", LAYERS)
def test_both_encoders_and_saelens_read_the_same_codes(adapted: Study, layer: int):
    from sae_lens import SAE

    x, encoder = held_out(adapted, layer), text_encoders(adapted, [layer])[layer]
    sae = adapted_sae(adapted, "text", layer)
    folder = next(Path(adapted.run).glob(f"adapt-prompts/sae/text/layer_{layer}"))
    theirs = SAE.load_from_disk(folder).encode(x).double() * sae.scale

    assert isinstance(encoder, CertifiedThreshold)
    for codes in (encoder.encode(x), Encoder.of(sae).encode(x), encode(sae, x)):
        dense = torch.zeros_like(theirs).scatter_add(1, codes.indices, codes.values.double())
        n_other = ((dense > 0) != (theirs > 0)).sum()  # what is at its threshold may go either way
        assert n_other < 1e-4 * (theirs > 0).sum()
        torch.testing.assert_close(dense[dense > 0].mean(), theirs[theirs > 0].mean())
