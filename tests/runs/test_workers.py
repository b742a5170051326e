"""Runs whose episodes workers play: their numbers, and what becomes of the workers."""

import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from tiny_runs import TASK, TINY, fingerprint, rows_of

from duopoly.agent import PAL
from duopoly.cli import main as cli
from duopoly.game.play import play
from duopoly.policy.actor_critic.actor import actor_controller, init_actor
from duopoly.policy.gaussian import gaussian_controller, init_policy
from duopoly.runs.config import RunConfig
from duopoly.runs.launch import train_in
from duopoly.runs.rundir import RunDirectory
from duopoly.schedule import SCHEDULES
from duopoly.settings import PolicySettings, SettingsError, override
from duopoly.types import Controller
from duopoly.world.custom import make_task
from duopoly.world.task import TaskError
from duopoly.world.tasks import get_task
from duopoly.world.workers import Workers


def test_a_run_with_workers_equals_one_without(
    finished_run: RunDirectory, config: RunConfig, tmp_path: Path
) -> None:
    """Whichever number of them it is resumed with."""
    run = RunDirectory(tmp_path / "run")
    train_in(run, dataclasses.replace(config, steps=100), resume=False, workers=Workers(2))
    train_in(run, config, resume=True, workers=Workers(3))
    assert fingerprint(run) == fingerprint(finished_run)
    assert run.settings.read_bytes() == finished_run.settings.read_bytes()


def test_a_game_whose_episodes_go_on_is_the_same() -> None:
    settings = override(TINY, {"collection.episodes_go_on": True})
    whole, ahead = (
        list(
            play(
                get_task(TASK),
                settings,
                SCHEDULES["pal"],
                0,
                num_env_steps=140,
                workers=Workers(number),
            )
        )[-1].state
        for number in (1, 2)
    )
    for name, array in whole.buffer.arrays().items():
        np.testing.assert_array_equal(array, ahead.buffer.arrays()[name])
    for one, other in zip(*map(jax.tree.leaves, (whole.players, ahead.players)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("init", "controller_of"), [(init_policy, gaussian_controller), (init_actor, actor_controller)]
)
def test_policies_act_the_same_after_they_were_sent(
    init: Callable[..., Any], controller_of: Callable[[Any], Controller]
) -> None:
    here = controller_of(init(jax.random.key(1), 5, 2, PolicySettings(), (3,)))
    there = pickle.loads(pickle.dumps(here))
    obs = np.random.default_rng(0).normal(size=(4, 5))
    for deterministic in (False, True):
        one, other = (
            policy.act(obs, None, np.random.default_rng(2), deterministic).action
            for policy in (here, there)
        )
        np.testing.assert_array_equal(one, other)


def test_what_workers_cannot_do_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    task = get_task(TASK)
    mine = make_task(lambda mode: task.make(mode), name="Mine", horizon=9)
    with pytest.raises(TaskError, match="Mine cannot be sent to workers"):
        PAL(mine, settings=TINY).learn(60, num_workers=2)
    with pytest.raises(ValueError, match="num_workers = 0: must be a whole number"):
        PAL(TASK, settings=TINY).learn(60, num_workers=0)
    planning = override(TINY, {"policy.improver": "cem"})
    with pytest.raises(SettingsError, match=r"num_workers = 2: policy\.improver 'cem' plans"):
        next(play(task, planning, SCHEDULES["pets"], 0, num_env_steps=60, workers=Workers(2)))
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", TASK, "--algorithm", "pets", "--num-workers", "2"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "duopoly train: num_workers = 2: policy.improver 'cem' plans each action in the model, "
        "which is in this process alone; leave num_workers at 1\n"
    )


MINE = """
import time
import duopoly
from probes import PointEnv

class SlowEnv(PointEnv):
    def step(self, action):
        time.sleep({seconds})
        return super().step(action)

TASK = duopoly.make_task(lambda render_mode: SlowEnv(), name="Slow", horizon=20)
"""


def test_a_task_file_is_run_by_each_worker(
    tmp_path: Path, tiny_flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training and evaluation, from the words typed."""
    monkeypatch.chdir(tmp_path)
    Path("slow.py").write_text(MINE.format(seconds=0.0))
    found = []
    for number in ("1", "2"):
        workers = ["--num-workers", number, "--task-file", "slow.py"]
        cli.main(["train", *workers, *tiny_flags, "--steps", "100", "--out", number])
        run = RunDirectory(tmp_path / number / "Slow" / "pal" / "seed_0")
        cli.main(["evaluate", str(run.path), "--episodes", "3", *workers])
        found.append((rows_of(run), run.evaluation.read_text()))
    assert found[0] == found[1]


def children_of(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    if not path.exists():
        pytest.skip("the kernel does not tell a process's children")
    return list(map(int, path.read_text().split()))


def is_there(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_run(signum: int, tmp_path: Path, tiny_flags: list[str]) -> None:
    """Killed, or stopped by a terminal, which tells all of its processes."""
    (tmp_path / "slow.py").write_text(MINE.format(seconds=0.05))
    words = ["train", "--task-file", "slow.py", "--num-workers", "2", *tiny_flags]
    slow = ["--collection.initial-steps", "10000", "--steps", "20000"]
    tests = str(Path(__file__).parent.parent)
    path = os.pathsep.join([tests, *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    process = subprocess.Popen(
        [sys.executable, "-m", "duopoly", *words, *slow],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        status = tmp_path / "runs" / "Slow" / "pal" / "seed_0" / "status.json"
        while len(children_of(process.pid)) < 3 and process.poll() is None:  # and the tracker's
            time.sleep(0.05)
        time.sleep(5.0)  # they begin to play, or are still on their way
        children = children_of(process.pid)
        assert len(children) == 3
        if signum == signal.SIGKILL:
            process.kill()
        else:
            os.killpg(process.pid, signum)
        told = process.communicate(timeout=60)[1]
    if signum == signal.SIGINT:
        assert (process.returncode, told) == (
            130,
            "duopoly: stopped by SIGINT; go on with --resume\n",
        )
        assert '"stopped"' in status.read_text()
    end = time.monotonic() + 30.0
    while any(map(is_there, children)):
        assert time.monotonic() < end, "a worker is left"
        time.sleep(0.1)
