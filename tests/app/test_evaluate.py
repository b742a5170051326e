"""Evaluating, drawing and filming a finished run from the command line."""

import json
import shutil

import pytest

from duopoly.app import cli
from duopoly.app.rundir import RunDirectory


@pytest.fixture
def run(finished_run, tmp_path) -> RunDirectory:
    shutil.copytree(finished_run.path, tmp_path / "run")
    return RunDirectory(tmp_path / "run")


def test_evaluate(run, capsys):
    cli.main(["evaluate", str(run.path), "--episodes", "3", "--seed", "5"])
    shown = capsys.readouterr().out
    found = json.loads(run.evaluation.read_text())
    assert (found["num_episodes"], found["seed"], found["env_steps"]) == (3, 5, 180)
    assert found["min_return"] <= found["iqm_return"] <= found["max_return"]
    assert f"{found['mean_return']:.1f} ±" in shown
    cli.main(["evaluate", str(run.path), "--episodes", "3", "--seed", "5"])
    assert json.loads(run.evaluation.read_text()) == found


def test_plot(run, tmp_path, monkeypatch):
    run.curve.unlink()
    cli.main(["plot", str(run.path)])
    assert run.curve.stat().st_size > 10_000
    monkeypatch.chdir(tmp_path)
    cli.main(["plot", str(run.path), str(run.path)])
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_an_unfinished_run_is_one_line(run, capsys):
    shutil.rmtree(run.checkpoints)
    run.progress.write_text("")
    for word in ("evaluate", "plot", "video"):
        with pytest.raises(SystemExit) as stop:
            cli.main([word, str(run.path)])
        assert stop.value.code == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        assert str(run.path) in told


def test_video(run, tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    cli.main(["video", str(run.path), "--episodes", "1", "--out", str(tmp_path / "film.mp4")])
    assert (tmp_path / "film.mp4").stat().st_size > 1_000
