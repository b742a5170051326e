"""Runs of several seeds, a thread each, whose compiled calls are computed together."""

import contextlib
import threading
from collections.abc import Sequence

from duopoly.game.state import GameState
from duopoly.lockstep import Band
from duopoly.runs.config import RunConfig
from duopoly.runs.errors import FailureError, as_failures
from duopoly.runs.progress import Console, live_progress_of_many
from duopoly.runs.rundir import RunDirectory
from duopoly.runs.signals import Stopped
from duopoly.runs.status import RunStatus, told
from duopoly.runs.trackers.follow import Tracking
from duopoly.runs.train import train
from duopoly.world.logged import Log
from duopoly.world.task import Task
from duopoly.world.tasks import get_task
from duopoly.world.workers import ALONE, Workers


def train_all(
    runs: Sequence[tuple[RunDirectory, RunConfig, RunStatus]],
    task: Task | None,
    states: Sequence[GameState | None],
    tracking: Sequence[Tracking],
    log: Log | None = None,
    workers: Workers = ALONE,
    *,
    overlaps: bool = False,
) -> None:
    """Trains runs that are locked and claimed, side by side.

    ``states`` are where they go on, ``tracking`` what follows each; new ones begin with ``log``.
    Each has ``workers`` of its own. Where it ``overlaps``, each evaluates and keeps a round while
    all play the next. To be called in the main thread, for it computes for the others and hears
    signals.

    Raises:
        FailureError: naming the seeds whose games broke down, once the others are through.
        Stopped: a signal asked for it; every run has been told.
    """
    _, first, _ = runs[0]
    task = task or get_task(first.task)
    firsts = {
        config.seed: state.env_steps if state else 0
        for (_, config, _), state in zip(runs, states, strict=True)
    }
    title = f"{first.algorithm} {first.task} seeds {', '.join(map(str, firsts))}"
    band, errors = Band(len(runs)), dict[int, BaseException]()

    with live_progress_of_many(title, firsts, first.steps, Console()) as live:

        def play(
            run: RunDirectory,
            config: RunConfig,
            status: RunStatus,
            state: GameState | None,
            tracking: Tracking,
        ) -> None:
            progress = contextlib.nullcontext(live(config.seed))
            try:
                with band.seat(config.seed), told(status), as_failures():
                    more = progress, tracking, log, workers
                    train(run, config, status, task, state, *more, overlaps=overlaps)
            except BaseException as error:
                errors[config.seed] = error

        threads = [
            threading.Thread(target=play, args=(*one, *more), name=f"seed {one[1].seed}")
            for one, *more in zip(runs, states, tracking, strict=True)
        ]
        band.run(threads)
    failed = {seed: e for seed, e in sorted(errors.items()) if not isinstance(e, Stopped)}
    if failed:
        seed, error = next(iter(failed.items()))
        if not isinstance(error, Exception):
            raise error
        raise FailureError(
            f"{len(failed)} of {len(runs)} seeds failed, seed {seed} first: {error}"
        ) from error
