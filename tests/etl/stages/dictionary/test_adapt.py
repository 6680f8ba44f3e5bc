"""Adaptation on the shipped tiny world: streams, what a stage leaves, and kill and resume."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from run_folder import read_rows, replace_rows
from sqlalchemy import Engine, text

from feature_atlas.dictionary.sae import TopKSae
from feature_atlas.etl.commands.demo import demo_config
from feature_atlas.etl.config.features import AdaptConfig
from feature_atlas.etl.config.inputs import InstructConfig
from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.run_folder.artifacts import read_json, read_table
from feature_atlas.etl.stages.dictionary import adapt as stages
from feature_atlas.etl.stages.dictionary.adapt import (
    adapt_parts,
    adapt_stages,
    adapted_sae,
    run_adapt,
    trained_regimes,
    training_facts,
)
from feature_atlas.etl.stages.dictionary.adapt_stream import ActivationStream, held_out_split
from feature_atlas.etl.stages.dictionary.training_state import TrainingState
from feature_atlas.etl.stages.vlm.samples_table import run_samples
from feature_atlas.etl.study import Study, open_run, open_study
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.toy.weights import language_model_path
from feature_atlas.vlm.token_roles import TEXT_ROLES, Role

LAYERS = (1, 4)


@pytest.fixture(scope="module")
def config(small_world: Path) -> RunConfig:
    whole = demo_config(small_world)
    return whole.model_copy(
        update={
            "name": "adapted",
            "batch_size": 16,
            "sae": whole.sae.model_copy(update={"layers": LAYERS}),
            "adapt": AdaptConfig(
                n_tokens=3072,
                batch_size=256,
                buffer_size=1024,
                n_evaluations=3,
                n_held_out=300,
                layers_per_group=1,
                checkpoint_every=10,
            ),
        }
    )


def opened(config: RunConfig, home: Path) -> Study:
    """A run's study, with the stage that adaptation reads."""
    run = open_run(config, home)
    run_samples(run)
    return open_study(run)


def adapted(config: RunConfig, home: Path) -> Study:
    """A run whose adaptation is finished."""
    study = opened(config, home)
    for part in adapt_parts(study):
        run_adapt(study.run, *part)
    return study


@pytest.fixture(scope="module")
def study(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return adapted(config, tmp_path_factory.mktemp("adapted"))


def hashes(run: Path, stage: str = "adapt-*") -> dict[str, str]:
    records = [read_json(file) for file in sorted(run.glob(f"{stage}/stage.json"))]
    return {f["path"]: f["sha256"] for record in records for f in record["files"]}


def test_each_stream_and_group_of_layers_is_a_stage(study: Study):
    done = {file.parent.name for file in study.run.glob("adapt-*/stage.json")}

    assert trained_regimes(study) == ["text", "image", "full", "random", "refit", "language"]
    assert done == {f"adapt-{s}-{g}" for s in ("prompts", "questions", "base-text") for g in (0, 1)}
    assert adapt_stages(study, "text") == ["adapt-prompts-0", "adapt-prompts-1"]
    assert adapt_stages(study, "text", "image", "refit") == [
        *adapt_stages(study, "text"), "adapt-base-text-0", "adapt-base-text-1",
    ]  # fmt: skip
    assert not list(study.run.glob("*.unfinished")), "a finished training keeps no state"


def test_every_regime_left_its_dictionaries_and_all_trained_for_as_many_steps(study: Study):
    for regime in trained_regimes(study):
        for layer in LAYERS:
            sae, facts = adapted_sae(study, regime, layer), training_facts(study, regime, layer)
            base = study.base[layer]
            assert sae.scale == base.scale
            assert len(facts["losses"]) == 12
            untouched = torch.from_numpy(facts["n_firings"] == 0)
            kept = torch.nn.functional.cosine_similarity(sae.w_dec, base.w_dec).clamp(-1, 1)
            if regime != "random":
                assert (kept[untouched] > 1 - 1e-6).all()
                assert kept[~untouched].min() < 1 - 1e-6
                norm = torch.from_numpy(facts["decoder_norm"])
                torch.testing.assert_close(norm[untouched], base.w_dec.norm(dim=-1)[untouched])
            else:
                assert kept.abs().mean() < 0.15


def test_the_curve_has_all_roles_and_the_regimes_own_together(study: Study):
    rows = read_table(study.run, "adapt-prompts-1", "training_curve").to_pylist()
    controls = read_table(study.run, "adapt-questions-1", "training_curve").to_pylist()

    roles = Counter(row["role"] for row in rows if row["regime"] == "text")
    assert {"all", "image", "question", "header"} <= roles.keys()
    assert "bos" not in roles  # the same in every prompt: no variance to explain
    assert len(set(roles.values())) == 1
    assert {row["layer"] for row in rows} == {LAYERS[1]}
    assert "image" not in {row["role"] for row in controls}
    for row in rows + controls:
        assert np.isfinite([row["fvu"], row["l0"]]).all()
        assert 0 < row["n_tokens"] <= 300
    start = {(r["regime"], r["role"]): r["fvu"] for r in rows if r["tokens_seen"] == 0}
    end = {(r["regime"], r["role"]): r["fvu"] for r in rows if r["tokens_seen"] == 3072}
    assert end["text", "all"] < start["text", "all"]
    assert start["text", "image"] == start["image", "all"]  # one base, the same held-out tokens


def test_a_dictionary_is_read_once_while_its_stage_stays(study: Study):
    assert adapted_sae(study, "text", 1) is adapted_sae(study, "text", 1)
    with pytest.raises(ValueError, match=r"'instruct' is not trained .* expected one of text,"):
        adapted_sae(study, "instruct", 1)
    with pytest.raises(ValueError, match=r"layer 0 is not studied; expected one of \[1, 4\]"):
        adapted_sae(study, "text", 0)


def test_without_a_base_model_there_is_no_null_and_the_run_says_so(config: RunConfig, tmp_path):
    adapt = config.adapt.model_copy(update={"regimes": ("text", "refit"), "n_tokens": 512})
    alone = config.model_copy(update={"base_model": None, "adapt": adapt})

    study = adapted(alone, tmp_path)

    assert trained_regimes(study) == ["text"]
    warnings = read_json(study.run / "adapt-prompts-0" / "stage.json")["warnings"]
    assert len(warnings) == 1
    assert "No null for rotation" in warnings[0]
    assert read_json(study.run / "adapt-prompts-1" / "stage.json")["warnings"] == []


def test_training_and_judging_share_no_picture(study: Study):
    training, held_out = held_out_split(study.samples["vqav2-train"])

    assert not {s.image for s in training} & {s.image for s in held_out}
    assert 0 < len(held_out) < 0.2 * len(training)


@pytest.mark.parametrize("stream", ["prompts", "questions", "base-text"])
def test_a_stream_begins_anywhere(study: Study, stream: str):
    source = ActivationStream(study, stream, [1])
    n_epoch = -(-len(held_out_split(study.samples["vqav2-train"])[0]) // study.config.batch_size)
    for n_skipped in (1, n_epoch + 1):  # in the first epoch, and in the second
        whole, later = source.passes(), source.passes(n_skipped)
        for _ in range(n_skipped):
            next(whole)
        for _ in range(2):
            expected, found = next(whole), next(later)
            assert torch.equal(found.residuals[1], expected.residuals[1])
            assert torch.equal(found.roles, expected.roles)


def test_the_language_control_sees_the_same_questions_without_the_picture(study: Study):
    with_image = next(ActivationStream(study, "prompts", [1]).passes())
    without = next(ActivationStream(study, "questions", [1]).passes())

    assert (with_image.roles == Role.IMAGE).any()
    assert not (without.roles == Role.IMAGE).any()
    text = with_image.only(TEXT_ROLES).roles.bincount(minlength=7)
    # a newline between picture and question belongs to the question
    assert (without.only(TEXT_ROLES).roles.bincount(minlength=7) - text).abs().max() <= 16


def test_one_regime_at_a_time_gives_the_same_bytes(config: RunConfig, study: Study, tmp_path):
    single = config.model_copy(
        update={"adapt": config.adapt.model_copy(update={"regimes_at_once": 1})}
    )
    again = opened(single, tmp_path)

    run_adapt(again.run, "prompts", 1)

    assert again.inputs["config_hash"] == study.inputs["config_hash"]
    assert hashes(again.run, "adapt-prompts-1") == hashes(study.run, "adapt-prompts-1")


class Killed(Exception):
    """In the middle of a training."""


@pytest.mark.parametrize("at_once", [None, 3])
def test_a_stage_that_breaks_off_goes_on_to_the_same_bytes(
    config: RunConfig, study: Study, tmp_path, monkeypatch, at_once
):
    update = {"adapt": config.adapt.model_copy(update={"regimes_at_once": at_once})}
    broken = opened(config.model_copy(update=update), tmp_path)
    passes, save, n_saved, begun_at = ActivationStream.passes, TrainingState.save, 0, []

    def noted(source, n_skipped=0):
        begun_at.append(n_skipped)
        return passes(source, n_skipped)

    def save_and_die(state, part, content):
        nonlocal n_saved
        save(state, part, content)
        n_saved += 1
        if n_saved == 3:
            raise Killed

    monkeypatch.setattr(ActivationStream, "passes", noted)
    monkeypatch.setattr(TrainingState, "save", save_and_die)
    with pytest.raises(Killed):
        run_adapt(broken.run, "prompts", 1)
    assert begun_at == [0]
    assert not (broken.run / "adapt-prompts-1" / "stage.json").exists()
    assert list((broken.run / "adapt-prompts-1.unfinished").glob("*.pt"))
    monkeypatch.setattr(TrainingState, "save", save)

    run_adapt(broken.run, "prompts", 1)

    assert hashes(broken.run, "adapt-prompts-1") == hashes(study.run, "adapt-prompts-1")
    assert not (broken.run / "adapt-prompts-1.unfinished").exists()
    assert begun_at[1] > 0, "it began again instead of going on"
    assert begun_at[2:] == ([] if at_once is None else [0])  # the last regime's turn


ADAPT_ONE = """
import sys, time
from pathlib import Path
import torch
torch.set_num_threads(int(sys.argv[3]))
from feature_atlas.etl.stages.dictionary.adapt import run_adapt
from feature_atlas.etl.config.run_config import load_config
from feature_atlas.etl.stages.vlm.samples_table import run_samples
from feature_atlas.etl.study import open_run
from feature_atlas.etl.stages.dictionary.training_state import TrainingState
save = TrainingState.save
def save_slowly(*args):
    save(*args)
    time.sleep(1)  # the parent kills in this second
TrainingState.save = save_slowly
run = open_run(load_config(Path(sys.argv[1])), Path(sys.argv[2]))
run_samples(run)
run_adapt(run, "prompts", 1)
"""


def test_a_process_killed_in_the_middle_goes_on_to_the_same_bytes(
    config: RunConfig, study: Study, tmp_path
):
    file = tmp_path / "run.yaml"
    file.write_text(config.model_dump_json())
    arguments = [str(file), str(tmp_path), str(torch.get_num_threads())]
    child = subprocess.Popen([sys.executable, "-c", ADAPT_ONE, *arguments], env=os.environ)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("runs/*/adapt-prompts-1.unfinished/*.pt"))) == 0:
        assert time.monotonic() < deadline
        assert child.poll() is None, "it finished or failed before it could be killed"
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()

    run = opened(config, tmp_path).run
    assert not (run / "adapt-prompts-1" / "stage.json").exists()
    run_adapt(run, "prompts", 1)

    assert hashes(run, "adapt-prompts-1") == hashes(study.run, "adapt-prompts-1")


def test_a_state_of_other_parameters_or_a_damaged_one_is_not_used(tmp_path, caplog):
    kept = TrainingState(tmp_path, "adapt-prompts-0", "key")
    kept.save(0, {"n_passes": 3, "weights": {1: torch.arange(5)}})

    assert kept.load(0)["weights"][1].tolist() == [0, 1, 2, 3, 4]
    assert kept.load(1) is None
    assert TrainingState(tmp_path, "adapt-prompts-0", "another").load(0) is None
    file = next(tmp_path.glob("adapt-prompts-0.unfinished/*.pt"))
    file.write_bytes(file.read_bytes()[:-100])
    assert kept.load(0) is None
    assert "cannot be read" in caplog.text
    kept.remove()
    assert not list(tmp_path.iterdir())


def test_the_learning_rate_can_follow_the_activation_scale(config: RunConfig, study: Study):
    plain = stages._plan(study, LAYERS)
    adapt = config.adapt.model_copy(update={"learning_rate_scaling": "activation_scale"})
    scaled = Study(study.run)
    scaled.config = study.config.model_copy(update={"adapt": adapt})

    factors = stages._plan(scaled, LAYERS).rate_factors

    scales = [study.base[layer].scale for layer in LAYERS]
    assert plain.rate_factors == {}
    assert factors[1] / factors[4] == pytest.approx(scales[0] / scales[1])
    assert factors[1] * factors[4] == pytest.approx(1)


def test_the_instruct_control_reads_the_same_tokens_with_other_weights(config: RunConfig, tmp_path):
    adapt = config.adapt.model_copy(update={"regimes": ("text", "instruct"), "n_tokens": 512})
    tuned = InstructConfig(path=str(language_model_path()))  # any model of the same base will do
    study = opened(config.model_copy(update={"adapt": adapt, "instruct": tuned}), tmp_path)

    run_adapt(study.run, "instruct", 0)

    assert isinstance(adapted_sae(study, "instruct", 1), TopKSae)
    instruct = next(ActivationStream(study, "instruct", [1]).passes())
    language = next(ActivationStream(study, "questions", [1]).passes())
    assert torch.equal(instruct.roles, language.roles)
    assert not torch.equal(instruct.residuals[1], language.residuals[1])


def test_an_instruct_model_of_another_shape_is_refused(config: RunConfig, tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    small = LlamaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    LlamaForCausalLM(small).save_pretrained(tmp_path / "small")
    adapt = config.adapt.model_copy(update={"regimes": ("text", "instruct")})
    tuned = InstructConfig(path=str(tmp_path / "small"))
    study = opened(config.model_copy(update={"adapt": adapt, "instruct": tuned}), tmp_path)

    with pytest.raises(ValueError, match=r"instruct model has width and depth \(16, 1\)"):
        run_adapt(study.run, "instruct", 0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"regimes": ("image",)}, "must name text"),
        ({"regimes": ("text", "text")}, "none twice"),
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


def test_curves_of_a_version_without_roles_are_of_all_roles_together(
    run_folder: Path, engine: Engine, tmp_path
):
    folder = Path(shutil.copytree(run_folder, tmp_path / run_folder.name))
    rows = read_rows(folder, "training_curve")
    before = rows.filter(pc.equal(rows["role"], "all")).drop_columns("role")
    replace_rows(folder, "training_curve", before)

    ingest(folder, engine)

    with engine.connect() as connection:
        found = connection.execute(text("SELECT role, fvu FROM atlas.training_curve")).all()
    assert {row.role for row in found} == {"all"}
    assert sorted(row.fvu for row in found) == pytest.approx(sorted(before["fvu"].to_pylist()))
