"""Whatever kills a run, it goes on as if nothing had happened."""

import contextlib
import dataclasses
import gc
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_runs import fingerprint

from duopoly.agent import load_agent
from duopoly.game.play import Round
from duopoly.runs import atomic, train
from duopoly.runs.checkpoint import load_newest
from duopoly.runs.errors import DamageError
from duopoly.runs.launch import train_in
from duopoly.runs.metrics import read_progress
from duopoly.runs.rundir import RunDirectory
from duopoly.runs.signals import SIGNALS, Stopped, stoppable
from duopoly.types import Episode


@pytest.fixture(autouse=True)
def not_under_nohup() -> Iterator[None]:
    """However the tests were started, the end of a terminal is told to them."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def status_of(run: RunDirectory) -> dict[str, object]:
    return json.loads(run.status.read_text())


def test_a_finished_run_is_complete(finished_run, config):
    names = {path.name for path in finished_run.path.iterdir()}
    assert {"settings.json", "progress.csv", "checkpoints", "status.json"} <= names
    assert any("tfevents" in name for name in names)
    assert not any(name.startswith(atomic.TEMPORARY_PREFIX) for name in names)
    rows = read_progress(finished_run.progress)
    assert [row["time/iterations"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1]["time/total_timesteps"] == config.steps
    assert rows[-1]["time/fps"] > 0
    status = status_of(finished_run)
    assert (status["state"], status["round"], status["env_steps"]) == ("finished", 4, 180)


def test_the_best_round_is_kept_as_an_agent(finished_run):
    rows = read_progress(finished_run.progress)
    returns = [row["eval/mean_reward"] for row in rows]
    best = RunDirectory(finished_run.best)
    (kept,) = best.checkpoints.iterdir()
    assert kept.name == f"round_{1 + int(np.argmax(returns)):06d}"
    agent = load_agent(best.path)
    assert agent.state.env_steps == rows[int(np.argmax(returns))]["time/total_timesteps"]
    assert best.read_config().steps == agent.state.env_steps


def test_a_run_in_two_parts_equals_one_in_one(finished_run, config, tmp_path):
    run = RunDirectory(tmp_path / "run")
    for steps in (100, config.steps):
        train_in(run, dataclasses.replace(config, steps=steps), resume=True)
    assert fingerprint(run) == fingerprint(finished_run)


def test_a_damaged_checkpoint_costs_a_round_and_nothing_else(finished_run, config, tmp_path):
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(finished_run.path, run.path)
    (run.checkpoints / "round_000004" / "buffer.safetensors").write_bytes(b"")
    train_in(run, config, resume=True)
    assert fingerprint(run) == fingerprint(finished_run)


def test_without_a_sound_checkpoint_nothing_is_overwritten(finished_run, config, tmp_path):
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(finished_run.path, run.path)
    for path in run.checkpoints.iterdir():
        (path / "manifest.json").write_bytes(b"{}")
    assert_refused(run, config, "no sound checkpoint")


def test_a_table_that_is_none_is_not_overwritten(finished_run, config, tmp_path):
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(finished_run.path, run.path)
    run.progress.write_text("my notes\n")
    assert_refused(run, config, "is no table of rounds")


def assert_refused(run: RunDirectory, config, fault: str) -> None:
    """A run that cannot be resumed is as it was: every file, and when it was changed."""
    before = everything_in(run.path)
    with pytest.raises(DamageError, match=fault):
        train_in(run, dataclasses.replace(config, steps=10_000), resume=True)
    assert everything_in(run.path) == before


def everything_in(folder: Path) -> dict[Path, tuple[object, ...]]:
    paths = [folder, *folder.rglob("*")]
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in paths
    }


class Killed(BaseException):
    """Stands for the end of the process."""


class Reaper:
    """Lets a number of changes to the disk happen, then lets none, not even cleaning up."""

    def __init__(self, num_changes: float) -> None:
        self.num_left = num_changes
        self.num_seen = 0

    def guard(self, change):
        def guarded(*args, **kwargs):
            self.num_seen += 1
            self.num_left -= 1
            if self.num_left < 0:
                raise Killed
            return change(*args, **kwargs)

        return guarded


def torn(reaper: Reaper, append):
    """An append that may be cut off in the middle of its line."""

    def appended(path: Path, data: bytes) -> None:
        if reaper.num_left <= 0:
            with path.open("ab") as file:
                file.write(data[: len(data) // 2])
            raise Killed
        reaper.num_left -= 1
        append(path, data)

    return appended


def fake_play(
    task, settings, schedule, seed, *, num_env_steps, state, changes, on_phase, workers, judged
):
    """Rounds of 20 steps that move every number at random, by (seed, round) as the game does."""
    del task, settings, schedule, changes, on_phase, workers, judged
    while state.env_steps < num_env_steps:
        rng = np.random.default_rng((seed, state.round))
        moved = jax.tree.map(
            lambda leaf, rng=rng: leaf + rng.uniform() if leaf.dtype == np.float32 else leaf,
            state.players,
        )
        env_steps = state.env_steps + 20
        ones = [np.ones((20, size), np.float32) for size in (4, 1, 4)]
        episode = Episode(*ones[:2], ones[1][:, 0], ones[2], False, False, 20)
        state = dataclasses.replace(
            state,
            round=state.round + 1,
            env_steps=env_steps,
            players=moved,
            buffer=state.buffer.add([episode]),
        )
        yield Round(state, {"time/total_timesteps": env_steps, "eval/mean_reward": rng.normal()})


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_during_start_up_is_recorded(config, tmp_path, monkeypatch, signum):
    run = RunDirectory(tmp_path / "run")

    def interrupted(name: str) -> None:
        assert status_of(run)["state"] == "running"
        os.kill(os.getpid(), signum)
        pytest.fail(f"{name} was loaded")

    heavy = types.ModuleType("duopoly.runs.train")
    heavy.__getattr__ = interrupted  # pyright: ignore
    monkeypatch.setitem(sys.modules, "duopoly.runs.train", heavy)
    with pytest.raises(Stopped) as stop:
        train_in(run, config, resume=False)
    assert stop.value.exit_code == 128 + signum
    status = status_of(run)
    assert (status["state"], status["message"]) == ("stopped", signal.Signals(signum).name)
    assert status["round"] is None


@contextlib.contextmanager
def fake_judging(*_):
    """Those rounds know what their evaluation comes to."""
    yield lambda round_, _: round_


@pytest.mark.parametrize("overlaps", [False, True])
@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_between_a_rounds_files_waits_for_all_of_them(
    config, tmp_path, monkeypatch, signum, overlaps
):
    run = RunDirectory(tmp_path / "run")
    append = atomic.append_synced

    def interrupted(path: Path, data: bytes) -> None:
        append(path, data)
        if path == run.progress:
            os.kill(os.getpid(), signum)

    monkeypatch.setattr(train, "play", fake_play)
    monkeypatch.setattr(train, "judging", fake_judging)
    monkeypatch.setattr("duopoly.runs.metrics.append_synced", interrupted)
    with pytest.raises(Stopped):
        train_in(run, config, resume=False, overlaps=overlaps)
    (row,) = read_progress(run.progress)
    assert (run.checkpoints / "round_000001").is_dir()
    assert status_of(run)["round"] == 1
    assert status_of(run)["message"] == signum.name
    accumulator = EventAccumulator(str(run.path))
    accumulator.Reload()
    (event,) = accumulator.Scalars("eval/mean_reward")
    assert (event.step, event.value) == (20, pytest.approx(row["eval/mean_reward"]))


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the dead do not close their files
# Death may come to the thread in which TensorBoard's file is written.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("overlaps", [False, True])
@pytest.mark.parametrize("num_deaths", [20, pytest.param(None, marks=pytest.mark.slow)])
def test_death_between_any_two_changes_of_the_disk(
    config, tmp_path, monkeypatch, num_deaths, overlaps
):
    """Dies at some, or each, of the disk's changes in turn; every resumed run ends the same."""
    config = dataclasses.replace(config, steps=100)
    monkeypatch.setattr(train, "play", fake_play)
    monkeypatch.setattr(train, "judging", fake_judging)

    def attempt(run: RunDirectory, num_changes: float) -> Reaper:
        reaper = Reaper(num_changes)
        with monkeypatch.context() as patch:
            for owner, name in [
                (os, "replace"),
                (os, "fsync"),
                (shutil, "rmtree"),
                (Path, "unlink"),
                (Path, "mkdir"),
            ]:
                patch.setattr(owner, name, reaper.guard(getattr(owner, name)))
            patch.setattr("duopoly.runs.metrics.append_synced", torn(reaper, atomic.append_synced))
            train_in(run, config, resume=True, overlaps=overlaps)
        return reaper

    whole = RunDirectory(tmp_path / "whole")
    num_changes = attempt(whole, float("inf")).num_seen
    assert num_changes > 50
    expected = fingerprint(whole)
    for num in random.Random(0).sample(range(1, num_changes), num_deaths or num_changes - 1):
        run = RunDirectory(tmp_path / f"dies_{num}")
        run.path.mkdir()
        with pytest.raises(Killed):
            attempt(run, num)
        attempt(run, float("inf"))
        assert fingerprint(run) == expected, f"after change {num}"
        assert not list(run.path.rglob(f"{atomic.TEMPORARY_PREFIX}*"))
    gc.collect()


def wait_for_rounds(process: subprocess.Popen[str], run: RunDirectory, num_rounds: int) -> None:
    while len(read_progress(run.progress)) < num_rounds:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)


def test_signals_and_kills(command, tiny_flags, config, tmp_path):
    """Killed twice and stopped twice, a real run equals one that never stopped."""
    words = ["train", config.task, *tiny_flags, "--steps", "740"]
    with command(*words, "--out", "whole", cwd=tmp_path) as process:
        assert process.wait() == 0, process.communicate()[1]
    chance = random.Random(1)
    run = RunDirectory(tmp_path / "parts" / config.task / "pal" / "seed_0")
    signals = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGKILL]
    for index, signum in enumerate(signals):
        with command(*words, "--out", "parts", "--resume", cwd=tmp_path) as process:
            wait_for_rounds(process, run, 3 * index + 1)
            time.sleep(chance.uniform(0.0, 0.1))
            process.send_signal(signum)
            _, told = process.communicate()
        if signum == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL
            continue
        assert process.returncode == 128 + signum
        assert told == f"duopoly: stopped by {signum.name}; go on with --resume\n"
        assert (status_of(run)["state"], status_of(run)["message"]) == ("stopped", signum.name)
    with command(*words, "--out", "parts", "--resume", cwd=tmp_path) as process:
        assert process.wait() == 0, process.communicate()[1]
    whole = RunDirectory(tmp_path / "whole" / config.task / "pal" / "seed_0")
    assert fingerprint(run) == fingerprint(whole)
    assert not list(run.path.rglob(f"{atomic.TEMPORARY_PREFIX}*"))
    assert len(run.command.read_text().splitlines()) == len(signals) + 1
    assert {"mujoco", "jax", "python", "platform"} <= set(json.loads(run.versions.read_text()))


def test_a_reader_that_leaves_stops_a_run_in_good_order(command, tiny_flags, config, tmp_path):
    words = ["train", config.task, *tiny_flags, "--steps", "2000"]
    with command(*words, "--out", "runs", cwd=tmp_path) as process:
        process.stdout.readline()
        process.stdout.close()
        told = process.stderr.read()
        assert process.wait() == 1
    assert told == ""
    run = RunDirectory(tmp_path / "runs" / config.task / "pal" / "seed_0")
    status = status_of(run)
    assert (status["state"], status["message"]) == (
        "stopped",
        "nobody reads the output any more",
    )
    assert load_newest(run.checkpoints, run.read_config()).round == status["round"]


BUSY = """
import hashlib, signal, sys
from duopoly.runs import signals
signals.GRACE_SECONDS = float(sys.argv[1])
with signals.stoppable(lambda name: print("gave up on", name, flush=True)):
    print("busy", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # one call that no signal interrupts
"""


def test_a_closed_terminal_stops_nothing_that_nohup_started():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable(lambda _: None):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    with pytest.raises(Stopped), stoppable(lambda _: None):
        os.kill(os.getpid(), signal.SIGHUP)


@pytest.mark.parametrize("num_signals", [1, 2])
def test_a_long_call_cannot_hold_up_the_end(num_signals):
    """One signal: out when the grace is over. Two: out at once."""
    grace = "0.3" if num_signals == 1 else "60"
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY, grace], stdout=subprocess.PIPE, text=True, close_fds=False
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "busy\n"
        for _ in range(num_signals):
            time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM
    assert out == ("gave up on SIGTERM\n" if num_signals == 1 else "")
