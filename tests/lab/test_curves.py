"""Curves: what is drawn is what was recorded, and pictures appear."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
from colours import DEUTERANOPIA, lab_of
from matplotlib.figure import Figure

from duopoly.lab import curves as plot
from duopoly.lab.curves import RETURN, Curve, draw, over_seeds, read_curve, variants
from duopoly.runs.config import RunConfig
from duopoly.runs.errors import UsageError
from duopoly.runs.metrics import ProgressTable
from duopoly.runs.rundir import RunDirectory
from duopoly.settings import Settings, override
from duopoly.world.perturb import Change

PNG = b"\x89PNG\r\n"


def curve(seed: int, steps, returns, algorithm="pal", task="Reacher7DOF", success=np.nan) -> Curve:
    steps, returns = np.array(steps, float), np.array(returns, float)
    metrics = {
        plot.RETURN: returns,
        plot.SUCCESS: np.full(len(steps), success),
        plot.IMAGINED: returns + 1.0,
    }
    return Curve(task, algorithm, seed, steps, metrics)


def write_run(path, rows) -> RunDirectory:
    run = RunDirectory(path)
    path.mkdir()
    run.write_config(RunConfig("Hopper-v5", "pal", 0, 100, Settings()))
    table = ProgressTable(run.progress, num_rounds=0)
    for row in rows:
        table.append(row)
    return run


def test_a_run_is_read(tmp_path):
    rows = [
        {"time/iterations": 1, "time/total_timesteps": 10, RETURN: 1.0},
        {"time/iterations": 2, "time/total_timesteps": 20, RETURN: 3.0},
    ]
    found = read_curve(write_run(tmp_path / "run", rows))
    assert (found.task, found.algorithm, found.seed) == ("Hopper-v5", "pal", 0)
    np.testing.assert_array_equal(found.known(RETURN), [[10, 20], [1, 3]])
    assert found.known(plot.SUCCESS)[0].size == 0


@pytest.mark.parametrize(
    "rows", [[], [{"time/iterations": 1, "time/total_timesteps": 10, RETURN: np.nan}]]
)
def test_a_run_without_an_evaluation_is_refused(tmp_path, rows):
    with pytest.raises(UsageError, match="no evaluated round yet"):
        read_curve(write_run(tmp_path / "run", rows))


def test_seeds_meet_where_all_have_data():
    curves = [curve(0, [0, 10, 20], [0, 10, 20]), curve(1, [5, 15], [5, 15])]
    steps, mean, low, high = over_seeds(curves, RETURN)
    np.testing.assert_array_equal(steps, [5, 10, 15])
    np.testing.assert_allclose([mean, low, high], [[5, 10, 15]] * 3)


def test_seeds_that_never_meet_are_refused():
    curves = [curve(0, [0, 10], [0, 1]), curve(1, [20, 30], [0, 1])]
    with pytest.raises(UsageError, match="have no steps in common"):
        over_seeds(curves, RETURN)


def test_one_run_and_many_are_drawn(tmp_path):
    draw([curve(0, [0, 10], [0, 1])], tmp_path / "one.png")
    many = [
        curve(seed, [0, 1000, 2000], [0, seed, 2], algorithm=algorithm, success=0.5)
        for seed in range(3)
        for algorithm in ("pal", "mal")
    ]
    draw(many, tmp_path / "deep" / "many.png")
    for name in ("one.png", "deep/many.png"):
        assert (tmp_path / name).read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("curves", "has_interval"),
    [
        ([curve(0, [0, 9], [0, 1])], False),
        ([curve(0, [0, 9], [0, 1]), curve(0, [0, 9], [0, 1], algorithm="mal")], False),
        ([curve(0, [0, 9], [0, 1]), curve(1, [0, 9], [0, 1])], True),
    ],
)
def test_only_several_seeds_have_an_interval(curves, has_interval, monkeypatch, tmp_path):
    figures = []
    monkeypatch.setattr(plot, "write", lambda figure, _out: figures.append(figure))
    draw(curves, tmp_path / "x.png")
    assert ("IQM" in figures[0].axes[0].get_ylabel()) == has_interval


def test_changes_of_the_world_are_marked(monkeypatch, tmp_path):
    figures = []
    monkeypatch.setattr(plot, "write", lambda figure, _out: figures.append(figure))
    changes = (Change("goal", 5), Change("forearm", 90))  # the run has not come to the last
    draw([dataclasses.replace(curve(0, [0, 9], [0, 1]), changes=changes)], tmp_path / "x.png")
    axes = figures[0].axes[0]
    assert [text.get_text() for text in axes.texts] == ["goal"]
    assert [5, 5] in [list(line.get_xdata()) for line in axes.lines]


def test_runs_are_told_apart_by_the_settings_in_which_they_differ():
    plain = RunConfig("Hopper-v5", "pal", 0, 100, Settings())
    implicit = override(Settings(), {"leader.gradient": "implicit"})
    runs = [
        plain,
        dataclasses.replace(plain, seed=1, steps=200),
        dataclasses.replace(plain, settings=implicit),
        dataclasses.replace(plain, perturb=(Change("goal", 5),)),
        dataclasses.replace(
            plain, algorithm="mal", settings=override(Settings(), {"model.hidden": (8,)})
        ),
    ]
    usual = "gradient first_order, perturb nothing"
    assert variants(runs) == [
        usual,
        usual,
        "gradient implicit, perturb nothing",
        "gradient first_order, perturb goal@5",
        "",
    ]
    assert variants(runs[:2]) == ["", ""]


def test_settings_of_one_name_are_told_apart_by_their_group():
    plain = RunConfig("Hopper-v5", "pal", 0, 100, Settings())
    wide = override(Settings(), {"model.hidden": (8,), "policy.hidden": (8,)})
    found = variants([plain, dataclasses.replace(plain, seed=1, settings=wide)])
    assert found[1] == "model.hidden [8], policy.hidden [8]"


def test_how_runs_are_evaluated_does_not_tell_them_apart():
    plain = RunConfig("Hopper-v5", "pal", 0, 100, Settings())
    quick = override(Settings(), {"evaluation.gap_steps": 0})
    assert variants([plain, dataclasses.replace(plain, seed=1, settings=quick)]) == ["", ""]


def test_variants_of_an_algorithm_are_drawn_apart(monkeypatch, tmp_path):
    figures = []
    monkeypatch.setattr(plot, "write", lambda figure, _out: figures.append(figure))
    first = [curve(seed, [0, 9], [0, seed]) for seed in (0, 1)]
    other = [dataclasses.replace(c, variant="model.window 7") for c in first]
    draw([*other, *first], tmp_path / "x.png")
    axes = figures[0].axes[0]
    labels = [line.get_label() for line in axes.lines]
    assert labels == ["PAL, 2 seeds", "PAL, model.window 7, 2 seeds"]
    assert len({line.get_color() for line in axes.lines}) == 2


def test_the_same_seed_twice_is_refused(tmp_path):
    with pytest.raises(UsageError, match="two runs of pal with seed 3"):
        draw([curve(3, [0], [0]), curve(3, [0], [1])], tmp_path / "x.png")


def test_different_tasks_are_refused(tmp_path):
    curves = [curve(0, [0], [0]), curve(0, [0], [0], task="Hopper-v5")]
    with pytest.raises(UsageError, match="one task, not Hopper-v5 and Reacher7DOF"):
        draw(curves, tmp_path / "x.png")


@pytest.mark.parametrize("name", ["x", "x.exe", "x.mp4"])
def test_an_unknown_kind_of_picture_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match=r"must end in one of .*\.png"):
        draw([curve(0, [0, 1], [0, 1])], tmp_path / name)


def test_a_picture_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write"):
        draw([curve(0, [0, 1], [0, 1])], tmp_path / "file" / "x.png")


def drawn(monkeypatch, curves) -> Figure:
    """Draw the curves and return the figure that would be written."""
    kept = []
    monkeypatch.setattr(plot, "write", lambda figure, _: kept.append(figure))
    plot.draw(curves, Path("unused.png"))
    kept[0].draw_without_rendering()
    return kept[0]


def test_a_single_round_can_be_seen(monkeypatch):
    """Of one run, and of several."""
    for curves in ([curve(0, [10], [5.0])], [curve(seed, [10], [5.0]) for seed in range(3)]):
        lines = drawn(monkeypatch, curves).axes[0].get_lines()
        assert any(line.get_marker() == "o" and len(line.get_xdata()) == 1 for line in lines)


def test_what_is_not_drawn_of_longer_runs_is_told():
    curves = [curve(0, [0, 10, 20], [0, 1, 2]), curve(1, [0, 10], [0, 1])]
    assert plot.shortened(curves) == [
        "pal: drawn up to 10 steps, where seed 1 ends; seed 0 goes on to 20"
    ]
    almost = [curve(0, [0, 1_000], [0, 1]), curve(1, [0, 999], [0, 1])]
    assert plot.shortened(almost) == []
    assert plot.shortened(curves[:1]) == plot.shortened([curves[0], curves[0]]) == []


def test_a_long_legend_stays_in_the_figure(monkeypatch):
    long = ", ".join(f"policy.setting_{i} {i}" for i in range(20))
    curves = [
        dataclasses.replace(curve(seed, [0, 10], [0, 1]), variant=variant)
        for variant in (long, "another", "a third")
        for seed in range(2)
    ]
    figure = drawn(monkeypatch, curves)
    (legend,) = figure.legends
    inside = figure.bbox.padded(1.0)
    assert inside.contains(*legend.get_window_extent().min)
    assert inside.contains(*legend.get_window_extent().max)


def test_a_dollar_in_a_name_is_a_dollar(monkeypatch):
    name = "we$ird_{x$"
    figure = drawn(monkeypatch, [dataclasses.replace(curve(0, [0, 10], [0, 1]), task=name)])
    assert figure.get_suptitle() == name


@pytest.mark.parametrize("seen", [np.eye(3), DEUTERANOPIA], ids=["all cones", "no green cones"])
def test_lines_are_told_apart_by_colour_or_by_dashes(seen):
    looks = {**plot.LOOKS, **{f"other {i}": x for i, x in enumerate(plot._OTHER_LOOKS)}}
    alike = [
        (one, other)
        for one, other in itertools.combinations(looks, 2)
        if np.linalg.norm(lab_of(looks[one].colour, seen) - lab_of(looks[other].colour, seen)) < 20
        and looks[one].dashes == looks[other].dashes
    ]
    assert not alike


def test_what_is_white_is_far_from_what_is_black():
    white, black = (lab_of(colour, DEUTERANOPIA) for colour in ("#ffffff", "#000000"))
    np.testing.assert_allclose(white, [100.0, 0.0, 0.0], atol=0.1)
    np.testing.assert_allclose(black, 0.0, atol=0.1)
