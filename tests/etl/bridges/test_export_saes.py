"""Exported SAEs load in SAELens and here, and compute what the originals compute."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from run_folder import seal
from typer.testing import CliRunner

from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Sae, encode
from feature_atlas.etl.bridges.export_saes import export_saes
from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.inputs.saes import load_sae, save_sae


def sae_of(layer: int) -> Sae:
    torch.manual_seed(layer)
    return Sae(
        torch.randn(16, 64),
        torch.randn(64),
        torch.randn(64, 16),
        torch.randn(16),
        gate=TopK(8),
        scale=2.5,
    )


BUILT = (
    ("adapt-prompts", "text/layer_0", 0),
    ("adapt-prompts", "text/layer_1", 1),
    ("adapt-base-text-0", "refit/layer_0", 0),  # as earlier versions left them
    ("adapt-image-0", "layer_0", 0),
)


@pytest.fixture(scope="module")
def built(run_folder: Path, tmp_path_factory) -> Path:
    """A run folder with adapted SAEs where a build leaves them."""
    folder = Path(shutil.copytree(run_folder, tmp_path_factory.mktemp("built") / run_folder.name))
    manifest = json.loads((folder / "manifest.json").read_text())
    for stage, below, layer in BUILT:
        sae = folder / stage / "sae" / below
        save_sae(
            sae_of(layer),
            sae,
            {"model_name": "tiny", "hook_name": f"blocks.{layer}.hook_resid_post"},
        )
        manifest["files"] += [
            {"path": f"{stage}/sae/{below}/{file.name}", "stage": stage} for file in sae.iterdir()
        ]
    for regime in ("text", "full"):
        facts = folder / "adapt-pictures" / f"training.{regime}.0.npz"
        facts.parent.mkdir(exist_ok=True)
        facts.write_bytes(b"anything")
        manifest["files"].append(
            {"path": str(facts.relative_to(folder)), "stage": "adapt-pictures"}
        )
    (folder / "manifest.json").write_text(json.dumps(manifest))
    seal(folder)
    return folder


@pytest.fixture(scope="module")
def exported(built: Path, tmp_path_factory) -> Path:
    return export_saes(built, tmp_path_factory.mktemp("saes") / "out").folder


def test_every_adapted_sae_gets_a_folder_with_its_two_files(exported: Path):
    files = sorted(p.relative_to(exported).as_posix() for p in exported.rglob("*") if p.is_file())

    assert files == [
        f"{sae}/{name}"
        for sae in ("image/layer_0", "refit/layer_0", "text/layer_0", "text/layer_1")
        for name in ("cfg.json", "sae_weights.safetensors")
    ]


def test_regimes_whose_dictionaries_were_not_kept_are_named(built: Path, tmp_path: Path):
    done = CliRunner().invoke(app, ["export", "saes", str(built), str(tmp_path / "out")])

    said = " ".join(done.output.split())
    assert "4 SAEs in" in said
    assert "not kept by the build, so not here: full." in said


def test_sae_lens_computes_what_we_compute(exported: Path):
    from sae_lens import SAE

    sae, residual = sae_of(1), torch.randn(32, 16)
    loaded = SAE.load_from_disk(exported / "text" / "layer_1")
    codes = encode(sae, residual)
    dense = torch.zeros(32, 64).scatter(1, codes.indices, codes.values)

    # SAELens works on raw residuals: its activations are ours over the scale
    torch.testing.assert_close(loaded.encode(residual) * sae.scale, dense, atol=1e-4, rtol=1e-4)


def test_a_build_reads_them_as_base_saes(built: Path, exported: Path):
    original = load_sae(built / "adapt-prompts" / "sae" / "text" / "layer_0")
    again = load_sae(exported / "text" / "layer_0")

    for name, tensor in original._asdict().items():
        if isinstance(tensor, torch.Tensor):
            assert torch.equal(tensor, getattr(again, name))
    assert (again.gate.k, again.scale) == (8, 2.5)


def test_a_changed_file_is_refused(built: Path, tmp_path: Path):
    folder = Path(shutil.copytree(built, tmp_path / built.name))
    weights = folder / "adapt-prompts" / "sae" / "text" / "layer_1" / "sae_weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)

    with pytest.raises(ValueError, match=r"layer_1/sae_weights\.safetensors has sha256"):
        export_saes(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_saes_says_where_they_are(run_folder: Path, tmp_path: Path):
    with pytest.raises(ValueError, match=r"holds no adapted SAEs.*<home>/runs/<slug>"):
        export_saes(run_folder, tmp_path / "out")
