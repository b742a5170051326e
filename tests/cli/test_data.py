"""``duopoly train --data``: as from Python, offline or not, and resumed bit for bit."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_runs import TASK, TINY, rows_of

from duopoly import PAL
from duopoly.agent import Agent
from duopoly.cli.main import main
from duopoly.lab import curves
from duopoly.runs import train
from duopoly.runs.checkpoint import load_newest
from duopoly.runs.config import RunConfig
from duopoly.runs.errors import DamageError, UsageError
from duopoly.runs.launch import train_in
from duopoly.runs.logs import load_log
from duopoly.runs.rundir import RunDirectory
from duopoly.schedule import PAL as SCHEDULE
from duopoly.settings import override
from duopoly.world.logged import Log
from duopoly.world.tasks import get_task

SETTINGS = override(TINY, {"collection.offline_rounds": 2, "evaluation.num_episodes": 1})


@pytest.fixture(scope="module")
def file(tmp_path_factory, finished_run) -> Path:
    """What a run has collected."""
    path = tmp_path_factory.mktemp("logs") / "log.npz"
    PAL.load(finished_run.path).save_transitions(path)
    with np.load(path, allow_pickle=False) as arrays:  # no more than the window holds
        np.savez(path, **{n: a[-70:] if a.ndim else a for n, a in arrays.items()})
    return path


@pytest.fixture(scope="module")
def log(file) -> Log:
    return load_log(file, get_task(TASK), SETTINGS, SCHEDULE)


@pytest.fixture(scope="module")
def offline(log) -> RunConfig:
    return RunConfig(TASK, "pal", 0, 0, SETTINGS, (), log.record)


@pytest.fixture(scope="module")
def mixed(offline) -> RunConfig:
    return dataclasses.replace(offline, steps=80)


@pytest.fixture(scope="module")
def whole(mixed, log, tmp_path_factory) -> RunDirectory:
    run = RunDirectory(tmp_path_factory.mktemp("whole") / "run")
    train_in(run, mixed, resume=False, log=log)
    return run


def numbers(run: RunDirectory) -> dict[str, Any]:
    found = load_newest(run.checkpoints, run.read_config())
    assert found is not None
    return {name: x.tobytes() for arrays in found.groups.values() for name, x in arrays.items()}


def test_offline_rounds_and_then_steps(whole):
    steps = [row["time/total_timesteps"] for row in rows_of(whole)]
    assert steps == ["0", "0", "40", "80"]
    assert json.loads(whole.status.read_text())["state"] == "finished"
    assert whole.read_config().data.transitions == 70


def test_python_plays_the_same(whole, file, tmp_path):
    run = RunDirectory(tmp_path / "run")
    agent = PAL(TASK, settings=SETTINGS, data=file)
    agent.learn(0, log_dir=run.path).learn(80, log_dir=run.path)
    assert numbers(run) == numbers(whole)
    assert rows_of(run) == rows_of(whole)
    assert PAL.load(run.path).state.log == agent.state.log
    with pytest.raises(UsageError, match="observations has 4 components, Reacher7DOF observes 20"):
        PAL("Reacher7DOF", data=file)


def test_stopped_after_any_round_is_as_never_stopped(whole, mixed, log, tmp_path, monkeypatch):
    """Offline first, then with real steps, and stopped amid the offline rounds."""
    run, play = RunDirectory(tmp_path / "run"), train.play

    def one_round(*args, **words):
        yield next(play(*args, **words))

    monkeypatch.setattr(train, "play", one_round)
    train_in(run, dataclasses.replace(mixed, steps=0), resume=False, log=log)
    monkeypatch.setattr(train, "play", play)
    train_in(run, dataclasses.replace(mixed, steps=40), resume=True)  # the log is not needed again
    train_in(run, mixed, resume=True, log=log)
    assert numbers(run) == numbers(whole)
    assert rows_of(run) == rows_of(whole)


def with_rounds(config: RunConfig, num_rounds: int) -> RunConfig:
    settings = override(config.settings, {"collection.offline_rounds": num_rounds})
    return dataclasses.replace(config, settings=settings)


def test_a_finished_run_goes_on_to_more_rounds_on_its_log(whole, offline, mixed, log, tmp_path):
    """As one that was meant to play so many from the first, and with real steps at the end."""
    run = RunDirectory(tmp_path / "run")
    train_in(run, with_rounds(offline, 1), resume=False, log=log)
    assert len(rows_of(run)) == 1
    train_in(run, mixed, resume=True)
    assert numbers(run) == numbers(whole)
    assert rows_of(run) == rows_of(whole)


def test_rounds_on_the_log_end_with_the_first_real_step(whole, mixed):
    for num_rounds in (1, 3):
        told = rf"collection\.offline_rounds is 2 there, {num_rounds} here"
        with pytest.raises(UsageError, match=told):
            train_in(whole, with_rounds(mixed, num_rounds), resume=True)


def test_fewer_rounds_on_the_log_are_another_run(offline, log, tmp_path):
    run = RunDirectory(tmp_path / "run")
    train_in(run, offline, resume=False, log=log)
    with pytest.raises(UsageError, match=r"collection\.offline_rounds is 2 there, 1 here"):
        train_in(run, with_rounds(offline, 1), resume=True)


def test_other_data_are_another_run(whole, mixed, log, tmp_path):
    other = dataclasses.replace(log, reward=log.reward + 1.0)
    with pytest.raises(
        UsageError, match=r"holds a different run: data\.sha256 is .* there, .* here"
    ):
        train_in(whole, dataclasses.replace(mixed, data=other.record), resume=True, log=other)
    with pytest.raises(
        UsageError, match=r"holds a different run: data\.episodes is .* there, absen"
    ):
        train_in(whole, dataclasses.replace(mixed, data=None), resume=True)
    saved = tmp_path / "agent"
    PAL.load(whole.path).save(saved)
    assert PAL.load(saved).state.log == log.record


def test_before_the_first_round_the_data_are_named_again(offline, tmp_path):
    run = RunDirectory(tmp_path)
    run.write_config(offline)
    with pytest.raises(UsageError, match="no finished round yet: name its data once more, by --d"):
        train_in(run, offline, resume=True)


def test_a_run_from_before_there_were_logs_is_read(config):
    record = config.to_dict()
    del record["data"]
    assert RunConfig.from_dict(record) == config


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "x" * 64},
        {"sha256": 5},
        {"transitions": 0},
        {"transitions": 10**9},
        {"transitions": 1.0},
        {"episodes": 71},
        {"more": 1},
    ],
)
def test_a_record_that_is_not_as_we_write_it_is_damage(offline, change):
    record = offline.to_dict()
    record["data"] = {**record["data"], **change}
    with pytest.raises(DamageError, match="data"):
        RunConfig.from_dict(record)


def test_a_checkpoint_has_no_more_than_the_log_and_the_steps(whole, mixed, tmp_path):
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(whole.path, run.path)
    lesser = dataclasses.replace(mixed, data=mixed.data._replace(transitions=60))
    run.write_config(lesser)
    with pytest.raises(DamageError, match="differs from all of"):
        train_in(run, lesser, resume=True)


def typed(tiny_flags: list[str], *words: str) -> list[str]:
    return ["train", TASK, *tiny_flags, "--collection.offline-rounds", "2", *words]


def test_the_command_plays_offline_and_resumes(file, tiny_flags, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = typed(tiny_flags, "--steps", "0")
    main([*words, "--data", str(file)])
    run = RunDirectory(tmp_path / "runs" / TASK / "pal" / "seed_0")
    assert [row["time/iterations"] for row in rows_of(run)] == ["1", "2"]
    assert run.curve.exists()
    curve = curves.read_curve(run)
    assert (curve.steps.tolist(), curve.axis) == ([1, 2], "rounds on logged data")
    other = dataclasses.replace(curve, seed=1, axis="real environment steps")
    with pytest.raises(UsageError, match="shows runs with real steps or runs without, not both"):
        curves.draw([curve, other], tmp_path / "both.png")
    main(["train", TASK, "--steps", "40", "--resume"])
    assert [row["time/total_timesteps"] for row in rows_of(run)] == ["0", "0", "40"]
    assert curves.read_curve(run).steps.tolist() == [0, 40]
    with pytest.raises(SystemExit, match="2"):
        main([*words, "--resume", "--data", str(file), str(file)])
    assert "data: there are 140 transitions, of which pal fits" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "nowhere.npz"], "duopoly train: nowhere.npz: nowhere.npz is missing"),
        (
            ["--data", "notes.npz"],
            "duopoly train: notes.npz: is damaged or no .npz file of numbers, as numpy.savez",
        ),
        (["--data", "minari:none-v0"], "duopoly train: minari:none-v0: "),
        (["--data"], "duopoly train: --data needs a value"),
        (
            ["--data", "nowhere.npz", "--steps", "0", "--leader.gradient", "implicit"],
            "duopoly train: leader.gradient = 'implicit': takes the density of the policy's own ",
        ),
    ],
)
def test_one_line_and_code_2(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    (tmp_path / "notes.npz").write_text("mine")
    with pytest.raises(SystemExit) as stop:
        main(["train", TASK, *words])
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(message)
    assert told.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_evaluate_writes_what_it_played(whole, tmp_path, capsys):
    path = tmp_path / "played.npz"
    words = ["evaluate", str(whole.path), "--episodes", "2", "--transitions", str(path)]
    main([*words, "--out", str(tmp_path / "evaluation.json")])
    assert "played.npz" in capsys.readouterr().out
    log = load_log(path, get_task(TASK), SETTINGS, SCHEDULE)
    assert log.record.episodes == 2
    length = json.loads((tmp_path / "evaluation.json").read_text())["mean_length"]
    assert len(log.obs) == 2 * length


def test_an_agent_that_has_seen_nothing_has_nothing_to_save(tmp_path):
    agent: Agent = PAL(TASK, settings=SETTINGS)
    with pytest.raises(UsageError, match="there are no transitions yet"):
        agent.save_transitions(tmp_path / "nothing.npz")
