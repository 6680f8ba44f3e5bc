"""The parts of the memory plan, beside the tensors that stages make, to 15 %."""

import pytest
import torch
from torch.utils._pytree import tree_leaves

from feature_atlas.dictionary.certified import CertifiedEncoder
from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Sae
from feature_atlas.etl.commands.demo import demo_config
from feature_atlas.etl.inputs.checkpoints import load_vlm
from feature_atlas.etl.opening.costs import harvest_bytes, pass_bytes
from feature_atlas.etl.opening.memory_plan import memory_plan
from feature_atlas.etl.opening.sizes import Sizes
from feature_atlas.etl.stages.features.harvest import CONDITIONS
from feature_atlas.etl.stages.features.harvest_sums import NormSums, empty_sums
from feature_atlas.etl.stages.features.layer_groups import encoder_bytes
from feature_atlas.etl.stages.features.skills import BASE, STATEMENTS
from feature_atlas.etl.study import Study, open_run, open_study
from feature_atlas.features.latent_scaling import Reader

D_SAE, D_MODEL = 1024, 512
NEAR = 0.15


@pytest.fixture(scope="module")
def sae() -> Sae:
    w_dec = torch.randn(D_SAE, D_MODEL)
    rest = (torch.zeros(D_SAE), w_dec, torch.zeros(D_MODEL))
    return Sae(w_dec.T.contiguous(), *rest, TopK(16), scale=1.0)


@pytest.fixture(scope="module")
def study(small_world, tmp_path_factory) -> Study:
    config = demo_config(small_world).model_copy(update={"base_model": None})
    return open_study(open_run(config, tmp_path_factory.mktemp("home")))


def n_bytes(held: object) -> int:
    """Of all tensors; one that several have counts once."""
    tensors = (leaf for leaf in tree_leaves(held) if isinstance(leaf, torch.Tensor))
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


def test_encoders_and_both_dictionaries_of_a_layer(sae):
    sizes = _sizes()
    certified = CertifiedEncoder.of(sae)

    assert n_bytes(sae) == pytest.approx(sizes.dictionary_bytes, rel=NEAR)
    assert n_bytes(certified) == pytest.approx(encoder_bytes(D_MODEL, D_SAE), rel=NEAR)
    # what the plan of latent_scaling holds of a layer: an encoder and directions, twice
    assert 2 * n_bytes(Reader.of(sae)) == pytest.approx(2 * sizes.dictionary_bytes, rel=NEAR)


def test_sums_of_the_harvest(study):
    def held(split: str, condition: str) -> float:
        sums = empty_sums(study, D_SAE, split, condition)
        norms = n_bytes(NormSums.empty("cpu")) * len(sums.sums.norms)  # of no feature
        return (n_bytes(sums) - norms) / D_SAE

    config = study.config
    passes = [(BASE, "real"), (STATEMENTS, "real"), *CONDITIONS]

    assert held(BASE, "real") == pytest.approx(pass_bytes(config), rel=NEAR)
    assert sum(held(*one) for one in passes) == pytest.approx(harvest_bytes(config), rel=NEAR)


def test_weights_of_the_model(study):
    vlm = load_vlm(study.config.vlm, "cpu").model
    sizes = _sizes()._replace(
        text_parameters=1, vision_parameters=sum(p.numel() for p in vlm.parameters()) - 1
    )

    (first, *_) = memory_plan(study.config, sizes, 1e12)

    assert first.parts["model"] == sum(p.nbytes for p in vlm.parameters())


def _sizes() -> Sizes:
    return Sizes(
        *(0, 0), depth=2, n_heads=4, n_layers=2, d_model=D_MODEL, d_sae=D_SAE, vocabulary=100,
        image_tokens=4, text_tokens=4, prompt_tokens=8, n_adapt=1, n_base=1,
        n_train_statements=1, n_test_statements=1, n_pictures=1,
    )  # fmt: skip
