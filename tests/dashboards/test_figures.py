"""The data drawn into the paper's figures, against pandas on the run folder that was loaded."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import streamlit as st
from matplotlib.figure import Figure
from PIL import Image
from run_folder import read_rows, replace_rows
from typer.testing import CliRunner

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.features import operating_point
from feature_atlas.dashboards.figures import FIGURES, __main__, adapted_by_layer, fvu_curves
from feature_atlas.dashboards.figures import cosine_against_energy as plane
from feature_atlas.dashboards.figures import cosine_by_layer as cosines
from feature_atlas.dashboards.figures import skill_shift as shift
from feature_atlas.dashboards.figures import threshold_sweep as sweep
from feature_atlas.dashboards.figures.canvas import Undrawable, house_style
from feature_atlas.dashboards.queries.skill_shifts import LEVELS
from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.models.session import make_engine

CONTROLS = ("refit", "language")


@pytest.fixture
def run(full_atlas: str) -> Iterator[pd.Series]:
    with house_style():
        yield queries.runs().iloc[0]


def words(figure: Figure) -> str:
    """Title and note, in one line."""
    said = f"{figure.get_suptitle()} {figure.get_supxlabel()}"
    return said.replace("\n", " ")


def line(panel, label: str) -> np.ndarray:
    (found,) = [line for line in panel.lines if line.get_label() == label]
    return np.asarray(found.get_ydata(), float)


def points(panel, label: str) -> list[tuple[float, float]]:
    """Of the cloud of this label (its count, in brackets, is checked), in order."""
    (found,) = [c for c in panel.collections if c.get_label().startswith(f"{label} (")]
    offsets = sorted(map(tuple, np.asarray(found.get_offsets(), float).tolist()))
    assert found.get_label() == f"{label} ({len(offsets):,})"
    return offsets


def pairs(xs: pd.Series, ys: pd.Series) -> list[list[float]]:
    return [pytest.approx(pair, rel=1e-5) for pair in sorted(zip(xs, ys, strict=True))]


def test_figure_1_draws_mean_fvu_and_tells_the_last_values(run, written) -> None:
    curves = written("training_curve")

    left, right = fvu_curves.figure_1(run).axes

    for regime, rows in curves[curves.role == "all"].groupby("regime"):
        expected = rows.groupby("tokens_seen").fvu.mean()
        assert line(left, regime) == pytest.approx(expected.to_numpy())
    (table,) = right.tables
    cells = {key: cell.get_text().get_text() for key, cell in table.get_celld().items()}
    # 0.9 halves every 1,000 tokens, for 2,000; single roles are worse by 0.5; layers are alike
    assert [cells[1, column] for column in range(8)] == [
        *("text", "0.900", "0.225", "0.000", "0.225", "0.225", "0.725", "0.725")
    ]


def test_figure_6_has_a_panel_per_layer_and_a_line_per_regime(run, written) -> None:
    curves = written("training_curve", role="all")

    panels = fvu_curves.figure_6(run).axes

    assert [panel.get_title(loc="left") for panel in panels] == ["layer 0", "layer 1"]
    for layer, panel in enumerate(panels):
        assert [drawn.get_label() for drawn in panel.lines] == ["text", "image", "full"]
        for regime, rows in curves[curves.layer == layer].groupby("regime"):
            assert line(panel, regime) == pytest.approx(rows.fvu.to_numpy())


def test_figure_2_marks_adapted_spatial_and_analysed_features(run, written) -> None:
    text, energy = written("decoder_cosine", regime="text"), written("visual_energy")
    is_adapted = written("selection").is_adapted

    figure = plane.figure_2(run)

    (panel,) = figure.axes
    energies = energy.energy_question
    floor = energies[energies > 0].min() / 4
    assert points(panel, "adapted") == pairs(text.cosine[is_adapted], energies[is_adapted])
    silent = text.cosine[~is_adapted]
    assert points(panel, "all other features") == pairs(silent, pd.Series(floor, silent.index))
    lost = text.feature.isin([4, 5])  # of the candidates 0..5 four survive
    assert points(panel, "spatial candidates, lost on neutral prompts") == pairs(
        text.cosine[lost], energies[lost]
    )
    survives = text.feature < 4
    assert points(panel, "spatial features") == pairs(text.cosine[survives], energies[survives])
    assert points(panel, "described or ablated") == points(panel, "spatial features")
    assert "24 of 32 adapted features turned further" in words(figure)


def test_a_large_cloud_is_counted_in_bins(run, monkeypatch) -> None:
    monkeypatch.setattr(plane, "MAX_POINTS", 100)

    figure = plane.figure_2(run)

    labels = {drawn.get_label() for drawn in figure.axes[0].collections}
    assert {"all other features (96)", "adapted (32)"} <= labels
    assert "200 × 200 bins" in words(figure)


def test_figure_5_averages_all_features_and_those_that_fired(run, written) -> None:
    rows = written("decoder_cosine")
    fired = rows[rows.n_firings > 0]

    left, right = cosines.figure_5(run).axes

    expected = rows.groupby(["regime", "layer"]).cosine.mean()
    for regime in ("text", "image", "full", "random", *CONTROLS):
        assert line(left, regime) == pytest.approx(expected[regime].to_numpy(), abs=1e-6)
    among = fired.groupby(["regime", "layer"]).cosine
    for regime in ("text", "image", "full", *CONTROLS):
        assert line(right, regime) == pytest.approx(among.mean()[regime].to_numpy(), abs=1e-6)
    assert "random" not in [drawn.get_label() for drawn in right.lines]
    (band,) = right.collections
    corners = band.get_paths()[0].vertices[:, 1]
    for share in (0.25, 0.75):
        for end in among.quantile(share)["text"]:
            assert np.abs(corners - end).min() < 1e-6


def test_figure_7a_counts_what_each_control_leaves(run, written) -> None:
    chosen = written("selection")

    figure = adapted_by_layer.figure_7a(run)

    adapted = chosen[chosen.is_adapted]
    kinds = (
        ("adapted (the paper's operating point): 32", adapted),
        ("of them beyond the refit null: 32", adapted[adapted.is_beyond_null]),
        ("of them beyond the language control: 24", adapted[adapted.is_beyond_language]),
        ("of them beyond both: turned by vision: 24", chosen[chosen.is_turned_by_vision]),
    )
    for bars, (label, rows) in zip(figure.axes[0].containers, kinds, strict=True):
        assert bars.get_label() == label
        heights = [bar.get_height() for bar in bars]
        assert heights == rows.groupby("layer").size().tolist()


def test_figure_7b_sets_the_adapted_against_their_controls(run, written) -> None:
    chosen = written("selection")
    text = written("decoder_cosine", regime="text")
    language = written("decoder_cosine", regime="language")

    (panel,) = cosines.figure_7b(run).axes

    for label, rows, column in (
        ("all features", text, "cosine"),
        ("adapted", text[chosen.is_adapted], "cosine"),
        ("turned by vision (24)", text[chosen.is_turned_by_vision], "cosine"),
        # the synthetic excess is made up: the null's cosine is what both columns add up to
        (
            "adapted: expected of the null",
            text.assign(null=text.cosine + text.excess_rotation)[chosen.is_adapted],
            "null",
        ),
        ("adapted: in the language control", language[chosen.is_adapted], "cosine"),
    ):
        expected = rows.groupby("layer")[column].mean().to_numpy()
        assert line(panel, label) == pytest.approx(expected, abs=1e-6)


def test_figure_8_maps_every_pair_of_thresholds(run, written) -> None:
    run = run.copy()
    run.config = {"selection": {"epsilon": 0.5, "cosine_quantile": 0.15}}
    text, energy = written("decoder_cosine", regime="text"), written("visual_energy")
    chosen = written("selection").is_adapted
    rank = text.cosine.rank(method="min").sub(1) / len(text)

    panels = sweep.figure_8(run).axes[:3]

    counts, overlaps, _ = (panel.collections[0].get_array() for panel in panels)
    assert counts.shape == (10, len(operating_point.DECADES))
    for i, quantile in enumerate(operating_point.COSINE_QUANTILES):
        for j, decade in enumerate(operating_point.DECADES):
            is_in = (rank < quantile) & (text.cosine < 1)
            is_in &= energy.energy_question.astype(float) > 0.5 * 10**decade
            assert counts[i, j] == max(is_in.sum(), 1)  # a logarithm has no 0
            assert overlaps[i, j] == pytest.approx((is_in & chosen).sum() / (is_in | chosen).sum())
    for panel in panels:
        (circle,) = panel.lines
        assert (circle.get_xdata()[0], circle.get_ydata()[0]) == (0.5, 15)


def test_figure_9_draws_rates_and_odds_ratios_on_every_level(run, written) -> None:
    rows = written("firing_shift", skill="spatial")
    chosen = written("selection")

    figure = shift.figure_9(run)

    histogram, scatter, levels = figure.axes
    rates = {"D_base": rows.fired_base / rows.tokens_base, "D_sp": rows.fired_skill / 400}
    for stairs, (name, rate) in zip(histogram.patches, rates.items(), strict=True):
        counts, edges, _ = stairs.get_data()
        expected = pd.Series(np.floor(8 * np.log10(rate[rate > 0])).clip(upper=-1)).value_counts()
        assert counts.tolist() == [expected.get(round(8 * np.log10(e)), 0) for e in edges[:-1]]
        assert stairs.get_label() == f"{name} (never fire: {(rate == 0).sum()})"
    is_candidate = rows.is_candidate & chosen.is_adapted
    known = pd.concat(rates.values())
    floor = known[chosen.is_adapted.to_numpy().tolist() * 2]
    floor = floor[floor > 0].min() / 2
    survives = rows.feature < 4
    for label, mask in (
        ("adapted", chosen.is_adapted & ~is_candidate),
        ("candidate, lost", is_candidate & ~survives),
        ("survives", survives),
        ("turned by vision", is_candidate & chosen.is_turned_by_vision),
    ):
        assert points(scatter, label) == pairs(
            rates["D_base"][mask].clip(lower=floor), rates["D_sp"][mask].clip(lower=floor)
        )
    said = [text.get_text() for text in levels.texts]
    candidates = rows[is_candidate]
    for text, level in zip(said, LEVELS.values(), strict=True):
        assert text == f"{(candidates[f'{level.interval}_low'] > 1).sum()} of 12"
    middles = [drawn.get_xdata()[0] for drawn in levels.lines if drawn.get_marker() == "o"]
    expected = [candidates[level.ratio].median() for level in LEVELS.values()]
    assert middles == pytest.approx(expected)
    assert "10 of 12 candidates turned further" in words(figure)


def test_figure_9_without_candidates_says_so(run, monkeypatch) -> None:
    shifts = queries.adapted_shifts(run.run_id, "spatial").assign(is_candidate=False)
    monkeypatch.setattr(queries, "adapted_shifts", lambda *_: shifts.assign(survives=False))

    _, scatter, levels = shift.figure_9(run).axes

    assert len(points(scatter, "adapted")) == 32
    assert [text.get_text() for text in levels.texts] == [
        "no adapted feature is a candidate for spatial"
    ]


def test_figure_10_shows_ocr_beside_spatial_features(run, written) -> None:
    text, energy = written("decoder_cosine", regime="text"), written("visual_energy")

    figure = plane.figure_10(run)

    panel, _, levels = figure.axes
    is_candidate = text.feature == 9  # asked of no neutral prompt in the synthetic run
    assert points(panel, "OCR candidates, lost on neutral prompts") == pairs(
        text.cosine[is_candidate], energy.energy_question[is_candidate]
    )
    assert len(points(panel, "spatial features")) == 8
    shifts = written("firing_shift", skill="ocr", feature=9)
    assert [text.get_text() for text in levels.texts] == [
        f"{(shifts[f'{level.interval}_low'] > 1).sum()} of 2" for level in LEVELS.values()
    ]
    assert "2 candidates, 0 of them spatial candidates too" in words(figure)


def test_a_run_without_controls_says_so_and_still_draws(
    run_folder: Path, tmp_path: Path, fresh_url: str, monkeypatch
) -> None:
    folder = without_controls(run_folder, tmp_path)
    engine = make_engine(fresh_url)
    ingest(folder, engine)
    engine.dispose()
    monkeypatch.setenv("ATLAS_DATABASE_URL", fresh_url)
    st.cache_data.clear()
    run = queries.runs().iloc[0]

    figures = {name: draw(run) for name, _, draw in FIGURES}

    drawn = figures["figure_5"].axes[0].lines
    assert [one.get_label() for one in drawn] == ["text", "image", "full", "random"]
    assert len(figures["figure_7a"].axes[0].containers) == 1
    assert "lacks a control" in words(figures["figure_7a"])
    assert len(figures["figure_7b"].axes[0].lines) == 2
    assert "the regime refit and the regime language" in words(figures["figure_7b"])
    for name in ("figure_2", "figure_9", "figure_10"):
        assert "no controls: nobody knows" in words(figures[name])
    st.cache_data.clear()


def without_controls(run_folder: Path, tmp_path: Path) -> Path:
    """The run as a version before the controls would have left it."""
    folder = shutil.copytree(run_folder, tmp_path / run_folder.name)
    rows = read_rows(folder, "decoder_cosine")
    rows = rows.filter(pa.array([regime not in CONTROLS for regime in rows["regime"].to_pylist()]))
    late = ("null_cosine", "excess_rotation", "rotation_p_value", "rotation_q_value")
    replace_rows(folder, "decoder_cosine", rows.drop_columns(list(late)))
    chosen = read_rows(folder, "selection")
    late = ("is_beyond_null", "is_beyond_language", "is_turned_by_vision")
    replace_rows(folder, "selection", chosen.drop_columns(list(late)))
    return folder


def test_the_command_writes_every_figure(full_atlas, tmp_path: Path, capfd) -> None:
    done = CliRunner().invoke(app, ["figures", "--out", str(tmp_path)])

    assert done.exit_code == 0
    assert sorted(tmp_path.iterdir()) == sorted(tmp_path / f"{one.name}.png" for one in FIGURES)
    for path in tmp_path.iterdir():
        assert Image.open(path).width == 1600
    said = capfd.readouterr()
    assert "figures of synthetic-" in said.out
    assert "WARNING" not in said.err


def test_a_figure_without_data_is_named_with_its_reason(run, tmp_path, monkeypatch, capsys) -> None:
    nothing = queries.fvu_curves(run.run_id).head(0)
    monkeypatch.setattr(queries, "fvu_curves", lambda _: nothing)

    assert __main__.main([run.slug, "--out", str(tmp_path), "--format", "svg"]) == 0

    said = capsys.readouterr().out
    assert "figure_1: not drawn, the run has no training curves; the stage `adapt`" in said
    assert "figure_6: not drawn" in said
    assert len(list(tmp_path.glob("*.svg"))) == len(FIGURES) - 2


def test_a_skill_that_was_not_measured_is_named(run) -> None:
    with pytest.raises(Undrawable, match="skill cooking; the stage `firing_shift`"):
        shift.shifts_of(run, "cooking")


def test_an_unknown_run_is_told_the_ones_there_are(full_atlas, capsys) -> None:
    assert __main__.main(["nobody"]) == 1

    assert "no published run is called nobody; there are synthetic-" in capsys.readouterr().err


def test_an_empty_atlas_says_what_builds_a_run(empty_atlas, capsys) -> None:
    assert __main__.main([]) == 1

    assert "`feature-atlas demo` builds the first one" in capsys.readouterr().err
