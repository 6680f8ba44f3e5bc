"""A build that several processes share, as it is asked for."""

import pytest
from typer.testing import CliRunner

from feature_atlas.etl.build import Share
from feature_atlas.etl.commands.cli import app


@pytest.mark.parametrize("text", ["3", "0/2", "3/2", "a/b", "1/2/3"])
def test_a_share_is_one_of_several(text):
    with pytest.raises(ValueError, match="expected two numbers such as 3/8, the third of 8"):
        Share.said(text)


def test_there_is_one_way_at_a_time(tmp_path):
    result = CliRunner().invoke(app, ["build", str(tmp_path), "--merge", "--workers", "2"])

    assert result.exit_code == 1
    assert "expected one at the most of --rehearse, --shard" in " ".join(result.output.split())
