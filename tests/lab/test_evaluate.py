"""Evaluating, drawing and filming a finished run from the command line."""

import dataclasses
import io
import json
import shutil
import sys

import pytest
from tiny_runs import tags_of_images

from duopoly.cli import main as cli
from duopoly.lab.evaluate import evaluate_run
from duopoly.runs.rundir import RunDirectory


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


def test_every_episode_is_told(run):
    told = []
    evaluate_run(run.path, 3, 5, on_episode=told.append)
    assert told == [1, 2, 3]


def test_evaluate_the_best(run, capsys):
    cli.main(["evaluate", str(run.path), "--best", "--episodes", "2"])
    best = RunDirectory(run.best)
    found = json.loads(best.evaluation.read_text())
    assert found["env_steps"] == best.read_config().steps
    assert not run.evaluation.exists()
    capsys.readouterr()
    shutil.rmtree(run.best)
    with pytest.raises(SystemExit) as stop:
        cli.main(["evaluate", str(run.path), "--best"])
    assert stop.value.code == 2
    assert "none of its rounds was evaluated" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "diagnose"])
def test_what_was_found_is_shown_even_if_it_cannot_be_kept(
    run, tmp_path, capsys, monkeypatch, command
):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("duopoly.runs.atomic._write_synced", full)
    with pytest.raises(SystemExit) as stop:
        cli.main([command, str(run.path), "--episodes", "1", "--out", str(tmp_path / "out")])
    shown, told = capsys.readouterr()
    assert stop.value.code == 1
    assert "InvertedPendulum-v5" in shown
    assert told.count("\n") == 1
    assert str(tmp_path / "out") in told


@pytest.mark.parametrize("command", ["evaluate", "diagnose"])
def test_no_place_is_told_before_anything_is_played(run, tmp_path, capsys, command):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as stop:
        cli.main([command, str(run.path), "--out", str(tmp_path / "file" / "x")])
    assert stop.value.code == 2
    assert "cannot write" in capsys.readouterr().err


def test_a_terminal_that_knows_no_plus_minus_is_no_obstacle(run, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    cli.main(["evaluate", str(run.path), "--episodes", "1"])
    sys.stdout.flush()
    assert b"mean ? std" in raw.getvalue()
    assert run.evaluation.exists()


def test_plot(run, tmp_path, monkeypatch):
    cli.main(["plot", str(run.path)])
    assert run.curve.stat().st_size > 10_000
    monkeypatch.chdir(tmp_path)
    other = RunDirectory(tmp_path / "other")
    shutil.copytree(run.path, other.path)
    other.write_config(dataclasses.replace(run.read_config(), seed=1))
    cli.main(["plot", str(run.path), str(other.path)])
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_diagnose(run, capsys):
    cli.main(["diagnose", str(run.path), "--episodes", "3"])
    assert "actions ahead" in capsys.readouterr().out
    found = json.loads((run.diagnosis / "diagnosis.json").read_text())
    assert set(found["explained_variance"]) == {f"obs[{i}]" for i in range(4)}
    assert len(found["imagined_return"]) == 2
    assert found["open_loop_error"]["1"] > 0.0
    assert found["real_disagreement"]["1"] > 0.0
    assert found["imagined_disagreement"]["1"] > 0.0
    assert set(found["values"]) == {"expected", "earned", "bias"}
    names = ("open_loop", "one_step", "disagreement", "values", "fan", "gaps")
    for name in names:
        assert (run.diagnosis / f"{name}.png").stat().st_size > 10_000
    assert tags_of_images(run.path) == {f"diagnosis/{name}" for name in names}


def test_an_unfinished_run_is_one_line(run, capsys):
    shutil.rmtree(run.checkpoints)
    run.progress.write_text("")
    for word in ("evaluate", "plot", "video", "diagnose"):
        with pytest.raises(SystemExit) as stop:
            cli.main([word, str(run.path)])
        assert stop.value.code == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        assert str(run.path) in told


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("film.gif", "must end in .mp4"),
        ("film", "must end in .mp4"),
        ("folder.mp4", "Is a directory"),
        ("file/film.mp4", "cannot write"),
        ("/proc/film.mp4", "cannot write"),
        ("x" * 300 + ".mp4", "File name too long"),
    ],
)
def test_a_film_that_could_not_be_written_is_refused_at_once(
    run, tmp_path, monkeypatch, capsys, out, message
):
    monkeypatch.setitem(sys.modules, "duopoly.render.film", None)  # nothing is filmed
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as stop:
        cli.main(["video", str(run.path), "--out", str(tmp_path / out)])
    told = capsys.readouterr().err
    assert (stop.value.code, told.count("\n")) == (2, 1)
    assert message in told


def test_video(run, tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    cli.main(["video", str(run.path), "--episodes", "1", "--out", str(tmp_path / "film.mp4")])
    assert (tmp_path / "film.mp4").stat().st_size > 1_000
    assert tags_of_images(run.path) == {"video"}
