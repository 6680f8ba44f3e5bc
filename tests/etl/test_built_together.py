"""A run that several processes build, and that is published by another one."""

import io
import shutil
from pathlib import Path

import pytest
from fact_checksums import run_facts
from rich.console import Console
from typer.testing import CliRunner

from feature_atlas.etl.build import Share, build_share, publish_built
from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.run_folder.patience import NotDone
from feature_atlas.etl.study import open_study

LOST = ("steering", "group_ablation", "head_knockout")


@pytest.fixture
def home(tiny_run, tmp_path, fresh_url, monkeypatch) -> Path:
    """The small run as others left it, before some of its stages, and an empty database."""
    monkeypatch.setenv("ATLAS_DATABASE_URL", fresh_url)
    copy = tmp_path / "runs" / tiny_run.folder.name
    shutil.copytree(tiny_run.folder, copy)
    (copy / "manifest.json").unlink()
    for stage in LOST:
        shutil.rmtree(copy / stage)
    yield tmp_path
    open_study.cache_clear()


@pytest.mark.slow
def test_what_is_missing_is_built_and_the_same_facts_are_published(tiny_run, home, fresh_url):
    said = Console(record=True, width=200, file=io.StringIO())
    with pytest.raises(NotDone, match="stage group_ablation has not finished"):
        publish_built(tiny_run.config, home, said)

    build_share(tiny_run.config, home, said, Share.said("2/3"))
    slug = publish_built(tiny_run.config, home, said)

    assert run_facts(fresh_url, slug) == run_facts(tiny_run.url, slug)
    shown = said.export_text()
    assert f"process 2 of 3 builds {slug}, with all others that do" in shown
    assert f"every stage of {slug} is done. Publish it with --merge" in shown
    assert f"run {slug} published" in shown


def test_what_nobody_began_is_not_published(tiny_run, tmp_path):
    with pytest.raises(RuntimeError, match="has not been begun: build it with --shard first"):
        publish_built(tiny_run.config, tmp_path, Console(file=io.StringIO()))


@pytest.mark.parametrize("text", ["3", "0/2", "3/2", "a/b", "1/2/3"])
def test_a_share_is_one_of_several(text):
    with pytest.raises(ValueError, match="expected two numbers such as 3/8, the third of 8"):
        Share.said(text)


def test_there_is_one_way_at_a_time(tmp_path):
    result = CliRunner().invoke(app, ["build", str(tmp_path), "--merge", "--workers", "2"])

    assert result.exit_code == 1
    assert "expected one at the most of --rehearse, --shard" in " ".join(result.output.split())
