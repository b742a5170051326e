"""Seeds side by side: each as if alone, but for rounding; stopped, continued, and broken down."""

import dataclasses
import json
import os
import shutil
import signal

import numpy as np
import pytest

from duopoly.cli.main import main
from duopoly.game.state import GameError
from duopoly.runs import train as train_module
from duopoly.runs.errors import FailureError, UsageError
from duopoly.runs.launch import train_in, train_side_by_side
from duopoly.runs.metrics import read_progress
from duopoly.runs.rundir import RunDirectory
from duopoly.runs.signals import Stopped
from duopoly.settings import override

# Conjugate gradients of little damping make much of rounding.
STEADY = {"policy.cg_damping": 1.0, "policy.cg_iterations": 2}
CLOCK = ("time/",)


def runs_of(config, folder, seeds=(0, 1)):
    settings = override(config.settings, STEADY)
    return [
        (
            RunDirectory(folder / f"seed_{seed}"),
            dataclasses.replace(config, seed=seed, settings=settings),
        )
        for seed in seeds
    ]


def rows_of(run: RunDirectory) -> list[dict[str, float]]:
    rows = read_progress(run.progress)
    return [{k: v for k, v in row.items() if not k.startswith(CLOCK)} for row in rows]


def state_of(run: RunDirectory) -> tuple[str, str]:
    status = json.loads(run.status.read_text())
    return status["state"], status["message"]


@pytest.fixture(scope="module")
def together(config, tmp_path_factory):
    """Two seeds that were trained side by side to their end; not to be changed."""
    runs = runs_of(config, tmp_path_factory.mktemp("together"))
    train_side_by_side(runs, resume=False)
    return runs


def test_each_equals_its_run_alone(together, config, tmp_path):
    for run, own in runs_of(config, tmp_path):
        train_in(run, own, resume=False)
    for (one, _), (other, _) in zip(together, runs_of(config, tmp_path), strict=True):
        assert state_of(one) == ("finished", "")
        rows, expected = rows_of(one), rows_of(other)
        assert len(rows) == len(expected) == 4
        for row, expected_row in zip(rows[:2], expected[:2], strict=True):
            assert row == pytest.approx(expected_row, rel=1e-2, abs=1e-3, nan_ok=True)
    first, second = (rows_of(run) for run, _ in together)
    assert first[0]["model/train_loss"] != second[0]["model/train_loss"]


def test_in_two_parts_they_equal_those_in_one(together, config, tmp_path):
    for steps in (100, config.steps):
        runs = [
            (run, dataclasses.replace(own, steps=steps)) for run, own in runs_of(config, tmp_path)
        ]
        train_side_by_side(runs, resume=True)
    for (one, _), (other, _) in zip(runs, together, strict=True):
        for row, expected in zip(rows_of(one), rows_of(other), strict=True):
            assert row == pytest.approx(expected, nan_ok=True, rel=0.0, abs=0.0)


def test_they_equal_those_that_are_evaluated_beside_the_next_round(together, config, tmp_path):
    runs = runs_of(config, tmp_path)
    train_side_by_side(runs, resume=False, overlaps=True)
    for (one, _), (other, _) in zip(runs, together, strict=True):
        assert state_of(one) == ("finished", "")
        for row, expected in zip(rows_of(one), rows_of(other), strict=True):
            assert row == pytest.approx(expected, nan_ok=True, rel=0.0, abs=0.0)


def test_one_that_is_ahead_waits_for_none(config, tmp_path):
    ahead, behind = runs_of(config, tmp_path)
    train_in(*ahead, resume=False)
    train_side_by_side([ahead, behind], resume=True)
    assert len(rows_of(behind[0])) == len(rows_of(ahead[0])) == 4


def test_where_one_cannot_begin_none_does(together, config, tmp_path):
    first, second = runs_of(config, tmp_path)
    shutil.copytree(together[1][0].path, second[0].path)
    with pytest.raises(UsageError, match="seed_1 already holds a run"):
        train_side_by_side([first, second], resume=False)
    assert not first[0].path.exists()


def test_one_that_breaks_down_is_told_and_the_others_go_on(config, tmp_path, monkeypatch):
    play = train_module.play

    def breaks_down(task, settings, schedule, seed, **more):
        for number, round_ in enumerate(play(task, settings, schedule, seed, **more)):
            if (seed, number) == (1, 1):
                raise GameError("round 1: out of luck")
            yield round_

    monkeypatch.setattr(train_module, "play", breaks_down)
    runs = runs_of(config, tmp_path, seeds=(0, 1, 2))
    with pytest.raises(FailureError, match="1 of 3 seeds failed, seed 1 first: round 1: out of"):
        train_side_by_side(runs, resume=False)
    states = [state_of(run) for run, _ in runs]
    assert states == [("finished", ""), ("failed", "round 1: out of luck"), ("finished", "")]
    assert [len(rows_of(run)) for run, _ in runs] == [4, 1, 4]


def test_a_signal_stops_all_and_they_go_on_as_if_nothing_had_been(
    together, config, tmp_path, monkeypatch
):
    meet, signals = train_module.meet, iter([signal.SIGTERM])

    def interrupted() -> None:
        for signum in signals:
            os.kill(os.getpid(), signum)
        meet()

    runs = runs_of(config, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(train_module, "meet", interrupted)
        with pytest.raises(Stopped):
            train_side_by_side(runs, resume=False)
    for run, _ in runs:
        assert state_of(run) == ("stopped", "SIGTERM")
    train_side_by_side(runs, resume=True)
    for (one, _), (other, _) in zip(runs, together, strict=True):
        last = rows_of(other)[-1]
        assert rows_of(one)[-1] == pytest.approx(last, nan_ok=True, rel=0.0, abs=0.0)


def test_seeds_are_typed_as_spans(tiny_flags, tmp_path, capsys):
    words = [*tiny_flags, "--steps", "60", "--out", str(tmp_path)]
    main(["train", "InvertedPendulum-v5", *words, "--seeds", "0,2-3"])
    folders = sorted((tmp_path / "InvertedPendulum-v5" / "pal").iterdir())
    assert [folder.name for folder in folders] == ["seed_0", "seed_2", "seed_3"]
    assert all((folder / "curve.png").exists() for folder in folders)
    assert np.unique([rows_of(RunDirectory(f))[0]["model/train_loss"] for f in folders]).size == 3
    assert "seed 2   round    1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--seeds 3-1", "--seeds 3-1: '3-1' is no seed and no span"),
        ("--seeds 0-5000", "no span of at most 1000"),
        ("--seeds a", "--seeds a: 'a' is no seed"),
        ("--seeds 0,,1", "'nothing' is no seed"),
        ("--seeds 0-2,1", "--seeds 0-2,1: names a seed twice"),
        ("--seeds 9999999999", "is no seed"),
        ("--seeds 0-1 --seed 3", "--seed and --seeds: give one of them"),
    ],
)
def test_what_is_no_list_of_seeds_is_refused(words, reason, capsys, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "Pendulum-v1", "--out", str(tmp_path), *words.split()])
    assert stopped.value.code == 2
    assert reason in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
