"""`feature-atlas convert llava`: a folder is made, whole, or one sentence says why not."""

from pathlib import Path

from original_llava import write_original, write_tower
from typer.testing import CliRunner

from feature_atlas.etl.commands.cli import app


def test_the_command_writes_a_folder_whole_and_not_twice(tmp_path: Path):
    tower = write_tower(tmp_path / "tower", "clip")
    (tower / "preprocessor_config.json").unlink()
    source = write_original(tmp_path / "original", "gemma_2")
    words = ["convert", "llava", str(source), str(tmp_path / "new"), "--vision-tower", str(tower)]

    done, again = (CliRunner().invoke(app, words) for _ in range(2))
    refused = CliRunner().invoke(app, [*words[:3], str(tmp_path / "other")])

    assert done.exit_code == 0, done.output
    told = " ".join(done.output.split())
    assert "94 tensors of" in told
    assert "image token <unused1>, padding <pad>" in told
    assert "no preprocessor_config.json in" in told
    assert "the last soft cap" in told
    assert (again.exit_code, refused.exit_code) == (1, 1)
    assert "there already" in again.output
    assert "--vision-tower" in refused.output
    assert {path.name for path in tmp_path.iterdir()} == {"tower", "original", "new"}
