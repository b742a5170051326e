"""`Agent.learn(log_dir=…)` leaves what ``duopoly train`` leaves, and goes on in it."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from tiny_runs import TASK, TINY, rows_of

from duopoly import PAL
from duopoly.runs.checkpoint import load_newest
from duopoly.runs.errors import UsageError
from duopoly.runs.launch import train_in
from duopoly.runs.rundir import RunDirectory


def named(run: RunDirectory) -> set[str]:
    """What lies in a run directory, without the numbers of processes."""
    names = {str(path.relative_to(run.path)) for path in run.path.rglob("*")}
    return {re.sub(r"events\..*", "events", name) for name in names}


def state_of(run: RunDirectory) -> tuple[str, str]:
    status = json.loads(run.status.read_text())
    return status["state"], status["message"]


def agent():
    return PAL(TASK, settings=TINY)


def test_the_same_run_as_the_commands(finished_run, config, tmp_path):
    run = RunDirectory(tmp_path / "run")
    agent().learn(config.steps, log_dir=run.path)
    assert rows_of(run) == rows_of(finished_run)
    assert named(run) == named(finished_run)
    assert state_of(run) == ("finished", "")
    kept, expected = (load_newest(one.checkpoints, config) for one in (run, finished_run))
    assert kept is not None
    assert expected is not None
    for group, arrays in kept.groups.items():
        for name, array in arrays.items():
            assert array.tobytes() == expected.groups[group][name].tobytes()


def test_a_later_call_goes_on_in_it(finished_run, config, tmp_path):
    run, learner = RunDirectory(tmp_path / "run"), agent()
    learner.learn(100, log_dir=run.path)
    learner.learn(config.steps - 100, log_dir=str(run.path))
    assert rows_of(run) == rows_of(finished_run)


def test_what_a_callback_ended_is_stopped_and_the_command_goes_on(finished_run, config, tmp_path):
    run = RunDirectory(tmp_path / "run")
    agent().learn(config.steps, callback=lambda _: False, log_dir=run.path)
    assert state_of(run) == ("stopped", "the caller ended it")
    train_in(run, config, resume=True)
    assert rows_of(run) == rows_of(finished_run)


def test_an_interrupted_call_is_stopped(config, tmp_path):
    run = RunDirectory(tmp_path / "run")

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        agent().learn(config.steps, callback=interrupt, log_dir=run.path)
    assert state_of(run) == ("stopped", "interrupted")
    assert len(rows_of(run)) == 1


def test_another_place_in_the_run_is_refused(config, tmp_path):
    run, first = RunDirectory(tmp_path / "run"), agent()
    first.learn(100, log_dir=run.path)
    with pytest.raises(UsageError, match="stands at round 2 and the agent at 0"):
        agent().learn(180, log_dir=run.path)
    other = PAL(TASK, settings=TINY, seed=3)
    with pytest.raises(UsageError, match="holds a different run: seed is 0 there, 3 here"):
        other.learn(180, log_dir=run.path)
    assert dataclasses.replace(run.read_config(), steps=100) == dataclasses.replace(
        config, steps=100
    )


def test_something_else_is_left_alone(tmp_path: Path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match="is not a run"):
        agent().learn(60, log_dir=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"thesis.tex"}
