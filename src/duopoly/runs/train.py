"""Plays a game in a run directory until its steps are used up."""

import dataclasses
from collections.abc import Iterator
from contextlib import AbstractContextManager

from duopoly.game.play import PhaseFn, Round, play
from duopoly.game.state import GameState, start
from duopoly.lockstep import meet
from duopoly.runs import checkpoint, snapshot
from duopoly.runs.config import RunConfig
from duopoly.runs.errors import UsageError
from duopoly.runs.keeper import kept
from duopoly.runs.progress import Console, Live, live_progress
from duopoly.runs.rundir import RunDirectory
from duopoly.runs.status import RunStatus
from duopoly.runs.trackers.follow import UNTRACKED, Tracking
from duopoly.schedule import SCHEDULES
from duopoly.world.logged import Log
from duopoly.world.task import Task
from duopoly.world.tasks import get_task
from duopoly.world.watch import watched
from duopoly.world.workers import ALONE, Workers


def train(
    run: RunDirectory,
    config: RunConfig,
    status: RunStatus,
    task: Task | None = None,
    state: GameState | None = None,
    progress: AbstractContextManager[Live] | None = None,
    tracking: Tracking = UNTRACKED,
    log: Log | None = None,
    workers: Workers = ALONE,
) -> None:
    """Trains in a run directory that is locked and claimed, until the steps are used up.

    A ``task`` is given where it is the user's own; the ``state``, where the run goes on, by
    `resume_state`. Whatever ends it early, the last finished round is on disk. ``progress``
    is where it is told; by default the terminal. ``tracking`` is what follows it besides. A new
    run begins with the transitions of its ``log``. ``workers`` play its episodes.

    Raises:
        UsageError: a tracker cannot follow it.
        DamageError: the disk takes no more.
    """
    task = task or get_task(config.task)
    state = state or start(task, config.settings, config.seed, log)
    title = f"{config.algorithm} {config.task} seed {config.seed}"
    with (
        kept(run, config, task, status, state, tracking) as keep,
        progress or live_progress(title, state.env_steps, config.steps, Console()) as live,
        watched(),
    ):
        for round_ in _rounds(config, task, state, live.phase, workers):
            live.tell(keep(round_))


def resume_state(
    run: RunDirectory, config: RunConfig, task: Task | None = None, log: Log | None = None
) -> GameState:
    """Where the run stands: at its newest sound checkpoint, or before the first round.

    Checkpoints have the transitions that it began with; before the first, the ``log`` is needed.

    Raises:
        UsageError: it is, and is not given.
        DamageError: checkpoints exist and none is sound, or it does not fit the settings.
    """
    found = checkpoint.load_newest(run.checkpoints, config)
    if found is None and config.data and log is None:
        raise UsageError(
            f"{run.path} has no finished round yet: name its data once more, by --data"
        )
    fresh = start(task or get_task(config.task), config.settings, config.seed, log)
    fresh = dataclasses.replace(fresh, log=config.data)
    return snapshot.restore(found, fresh) if found else fresh


def _rounds(
    config: RunConfig, task: Task, state: GameState, on_phase: PhaseFn, workers: Workers
) -> Iterator[Round]:
    """Plays round after round, each beside those of other seeds where there are any."""
    schedule = SCHEDULES[config.algorithm]
    for round_ in play(
        task,
        config.settings,
        schedule,
        config.seed,
        num_env_steps=config.steps,
        state=state,
        changes=config.perturb,
        on_phase=on_phase,
        workers=workers,
    ):
        yield round_
        meet()
