"""A round that is evaluated and kept beside the next one is what it would have been without."""

import contextlib
import hashlib
import json
import os
import signal
import threading

import pytest
from tiny_runs import rows_of

from duopoly.cli import main as cli
from duopoly.game.play import Round
from duopoly.game.state import GameError
from duopoly.runs import train
from duopoly.runs.errors import FailureError
from duopoly.runs.launch import train_in
from duopoly.runs.metrics import read_progress
from duopoly.runs.overlap import overlapped
from duopoly.runs.rundir import RunDirectory
from duopoly.runs.signals import Stopped
from duopoly.world.interaction import SimulatorError


def files_of(run: RunDirectory) -> dict[str, str]:
    """A sum of every file of the checkpoints and of the best agent."""
    paths = [*run.checkpoints.rglob("*.*"), *run.best.rglob("*.*")]
    return {
        str(path.relative_to(run.path)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.is_file()
    }


def status_of(run: RunDirectory) -> tuple[str, str]:
    status = json.loads(run.status.read_text())
    return status["state"], status["message"]


def replace_judge(monkeypatch: pytest.MonkeyPatch, change) -> None:
    """Has ``change(judge, round_, go_on)`` judge the rounds."""
    judging = train.judging

    @contextlib.contextmanager
    def changed(*args):
        with judging(*args) as judge:
            yield lambda round_, go_on: change(judge, round_, go_on)

    monkeypatch.setattr(train, "judging", changed)


def test_nothing_but_the_clock_differs(finished_run, config, tmp_path):
    run = RunDirectory(tmp_path / "run")
    train_in(run, config, resume=False, overlaps=True)
    assert status_of(run) == ("finished", "")
    assert rows_of(run) == rows_of(finished_run)
    assert files_of(run) == files_of(finished_run)
    assert len(files_of(run)) >= 4 * 3
    seconds = [row["time/evaluate_s"] for row in read_progress(run.progress)]
    assert all(one > 0.0 for one in seconds)


def test_the_next_round_is_played_meanwhile(config, tmp_path, monkeypatch):
    """An evaluation that waits for the next round's first move would else wait for ever."""
    collected, play = threading.Semaphore(0), train.play

    def tells(*args, on_phase, **more):
        def told(name: str) -> None:
            on_phase(name)
            if name == "collecting":
                collected.release()

        yield from play(*args, on_phase=told, **more)
        collected.release()

    def waits(judge, round_: Round, go_on) -> Round:
        assert collected.acquire(timeout=60.0)
        if round_.state.round == 1:  # its own, and the next
            assert collected.acquire(timeout=60.0)
        return judge(round_, go_on)

    monkeypatch.setattr(train, "play", tells)
    replace_judge(monkeypatch, waits)
    run = RunDirectory(tmp_path / "run")
    train_in(run, config, resume=False, overlaps=True)
    assert [row["time/iterations"] for row in read_progress(run.progress)] == [1, 2, 3, 4]


def test_a_signal_leaves_an_evaluation_and_the_run_goes_on_as_if_nothing_had_been(
    finished_run, config, tmp_path, monkeypatch
):
    def hangs_in_the_second(judge, round_: Round, go_on) -> Round:
        if round_.state.round == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            while True:
                go_on()
        return judge(round_, go_on)

    run = RunDirectory(tmp_path / "run")
    with monkeypatch.context() as patch:
        replace_judge(patch, hangs_in_the_second)
        with pytest.raises(Stopped):
            train_in(run, config, resume=False, overlaps=True)
    assert status_of(run) == ("stopped", "SIGTERM")
    assert len(rows_of(run)) == 1
    train_in(run, config, resume=True, overlaps=True)
    assert rows_of(run) == rows_of(finished_run)
    assert files_of(run) == files_of(finished_run)


def test_what_breaks_an_evaluation_is_told_as_ever(config, tmp_path, monkeypatch):
    def breaks_down(judge, round_: Round, go_on) -> Round:
        if round_.state.round == 2:
            raise SimulatorError("the joint is torn")
        return judge(round_, go_on)

    replace_judge(monkeypatch, breaks_down)
    run = RunDirectory(tmp_path / "run")
    with pytest.raises(FailureError, match=r"^the joint is torn$"):
        train_in(run, config, resume=False, overlaps=True)
    assert status_of(run) == ("failed", "the joint is torn")
    assert len(rows_of(run)) == 1
    assert not [t for t in threading.enumerate() if t.name.startswith("ThreadPool")]


def test_a_round_that_breaks_down_leaves_the_one_before_on_disk(config, tmp_path, monkeypatch):
    play = train.play

    def breaks_down(*args, **more):
        for round_ in play(*args, **more):
            if round_.state.round == 3:
                raise GameError("round 2: out of luck")
            yield round_

    monkeypatch.setattr(train, "play", breaks_down)
    run = RunDirectory(tmp_path / "run")
    with pytest.raises(FailureError, match="out of luck"):
        train_in(run, config, resume=False, overlaps=True)
    assert len(rows_of(run)) == 2
    assert sorted(path.name for path in run.checkpoints.iterdir())[-1] == "round_000002"


class Interrupted(BaseException):
    """As a signal is."""


@pytest.mark.parametrize(
    ("reason", "expected"),
    [(None, SimulatorError), (GameError("later"), SimulatorError), (Interrupted(), Interrupted)],
)
def test_what_the_work_raises_comes_first_unless_it_is_left(reason, expected):
    begun, may_end = threading.Event(), threading.Event()

    def work(go_on) -> None:
        begun.set()
        while expected is Interrupted:
            go_on()
        may_end.wait(10.0)
        raise SimulatorError("earlier")

    def play_on() -> None:
        with overlapped() as aside:
            aside.hand_over(work)
            assert begun.wait(10.0)
            may_end.set()
            if reason is not None:
                raise reason

    with pytest.raises(expected):
        play_on()


def test_what_went_wrong_is_seen_by_who_looks():
    def work(_) -> None:
        raise SimulatorError("earlier")

    with contextlib.suppress(SimulatorError), overlapped() as aside:
        aside.check()
        aside.hand_over(work)
        for look in (aside.wait, aside.check, lambda: aside.hand_over(work)):
            with pytest.raises(SimulatorError):
                look()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("Hopper-v5", True),
        ("Hopper-v5 --overlap never", False),
        ("FrozenLake-v1", False),
        ("FrozenLake-v1 --overlap always", True),
    ],
)
def test_environments_of_others_are_evaluated_in_turn(words, expected, monkeypatch, tmp_path):
    found = []
    monkeypatch.setattr("duopoly.cli.train._check_playable", lambda *_: None)
    monkeypatch.setattr(
        "duopoly.cli.train.train_in", lambda *_, overlaps, **__: found.append(overlaps)
    )
    cli.main(["train", *words.split(), "--out", str(tmp_path)])
    assert found == [expected]
