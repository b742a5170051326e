"""Plays a game and keeps what it yields: metrics, checkpoints, status and the learning curve.

The order within a round makes a kill at any point harmless: first the row of ``progress.csv``,
then the checkpoint. Whatever rows a checkpoint does not know are cut off when the run resumes.
"""

import contextlib
import sys
import time
from collections.abc import Iterator

from rich.console import Console

from duopoly import game
from duopoly.app import checkpoint, plot, snapshot
from duopoly.app.atomic import remove_leftovers
from duopoly.app.errors import DamageError
from duopoly.app.identity import Identity
from duopoly.app.metrics import ELAPSED, FPS, ROUND, STEPS, EventFile, Metrics, ProgressTable
from duopoly.app.progress import live_progress
from duopoly.app.rundir import RunDirectory, State
from duopoly.app.signals import Stopped, stoppable
from duopoly.moves import GameState, start
from duopoly.world.tasks import get_task


def train(run: RunDirectory, identity: Identity, console: Console | None = None) -> None:
    """Trains in a run directory that is locked and claimed, until the steps are used up.

    Continues from the newest sound checkpoint. Whatever ends it early, the last finished round
    is on disk and ``status.json`` tells what happened.

    Raises:
        Stopped: a signal asked for it.
        DamageError: checkpoints exist and none is sound, or the disk takes no more.
    """
    journal = _Status(run)
    with stoppable(lambda name: journal.end("stopped", f"{name} during a long call")):
        try:
            _train(run, identity, journal, console or Console())
        except Stopped as stop:
            journal.end("stopped", stop.signal_name)
            raise
        except Exception as error:
            journal.end("failed", f"{type(error).__name__}: {error}")
            raise


def clocked(metrics: Metrics, round_: int, elapsed: float) -> Metrics:
    """A round's metrics with its number and the clock's."""
    fps = metrics[STEPS] / elapsed if elapsed > 0 else 0.0
    return {ROUND: round_, STEPS: metrics[STEPS], ELAPSED: elapsed, FPS: fps, **metrics}


def _train(run: RunDirectory, identity: Identity, journal: "_Status", console: Console) -> None:
    state = resume_state(run, identity)
    journal.running(state)
    table = ProgressTable(run.progress, num_rounds=state.round)
    title = f"{identity.algorithm} {identity.task} seed {identity.seed}"
    begin = time.monotonic() - table.time_elapsed
    with (
        contextlib.closing(EventFile(run.path, first_step=state.env_steps + 1)) as events,
        live_progress(title, state.env_steps, identity.steps, console) as tell,
    ):
        for round_ in _rounds(identity, state):
            elapsed = time.monotonic() - begin
            metrics = clocked(round_.metrics, round_.state.round, elapsed)
            table.append(metrics)
            checkpoint.save(run.checkpoints, snapshot.snapshot(round_.state), identity)
            journal.running(round_.state)
            events.write(metrics, round_.state.env_steps, time.time())
            tell(metrics)
    _draw_curve(run)
    journal.end("finished")


def resume_state(run: RunDirectory, identity: Identity) -> GameState:
    """Where the run stands: at its newest sound checkpoint, or before the first round.

    Raises:
        DamageError: checkpoints exist and none is sound, or it does not fit the settings.
    """
    remove_leftovers(run.checkpoints)
    found = checkpoint.load_newest(run.checkpoints, identity)
    fresh = start(get_task(identity.task), identity.settings, identity.seed)
    return snapshot.restore(found, fresh) if found else fresh


def _rounds(identity: Identity, state: GameState) -> Iterator[game.Round]:
    return game.play(
        get_task(identity.task),
        identity.settings,
        game.SCHEDULES[identity.algorithm],
        identity.seed,
        num_env_steps=identity.steps,
        state=state,
    )


def _draw_curve(run: RunDirectory) -> None:
    try:
        plot.draw([plot.read_curve(run)], run.curve)
    except OSError as error:
        print(f"duopoly: no picture of the curve: {error}", file=sys.stderr)


class _Status:
    """Keeps ``status.json`` true to what is going on."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._round = 0
        self._env_steps = 0

    def running(self, state: GameState) -> None:
        self._round, self._env_steps = state.round, state.env_steps
        self._run.write_status("running", self._round, self._env_steps)

    def end(self, state: State, message: str = "") -> None:
        """The last word; a full disk must not hide the error that led here."""
        try:
            self._run.write_status(state, self._round, self._env_steps, message)
        except DamageError as error:
            print(f"duopoly: {error}", file=sys.stderr)
