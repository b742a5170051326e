"""Plays a game in a run directory until its steps are used up."""

import dataclasses
import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager

from duopoly.game.play import PhaseFn, Round, judging, play
from duopoly.game.state import GameState, start
from duopoly.lockstep import meet
from duopoly.policy.catalogue import PLAYERS
from duopoly.runs import checkpoint, snapshot
from duopoly.runs.config import RunConfig
from duopoly.runs.errors import UsageError
from duopoly.runs.keeper import KeepFn, kept
from duopoly.runs.overlap import GoOnFn, overlapped
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
    *,
    overlaps: bool = False,
) -> None:
    """Trains in a run directory that is locked and claimed, until the steps are used up.

    A ``task`` is given where it is the user's own; the ``state``, where the run goes on, by
    `resume_state`. Whatever ends it early, the last finished round is on disk. ``progress``
    is where it is told; by default the terminal. ``tracking`` is what follows it besides. A new
    run begins with the transitions of its ``log``. ``workers`` play its episodes. Where it
    ``overlaps``, each round is evaluated and kept while the next one is played; not where the
    policy plans, for that computes as the game does, nor where workers make evaluation short.

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
        has_time = workers.number == 1 and PLAYERS[config.settings.policy.improver].has_parameters
        if overlaps and has_time:
            _overlapping(config, task, state, live, keep)
            return
        for round_ in _rounds(config, task, state, live.phase, workers):
            live.tell(keep(round_))


def _overlapping(config: RunConfig, task: Task, state: GameState, live: Live, keep: KeepFn) -> None:
    """Plays on while the round before is evaluated, kept and told."""
    with (
        judging(task, config.settings, config.seed, config.perturb) as judge,
        overlapped() as aside,
    ):

        def phase(name: str) -> None:
            aside.check()
            live.phase(name)

        def finish(round_: Round, go_on: GoOnFn) -> None:
            with watched():
                round_ = judge(round_, go_on)
            live.tell(keep(round_))

        for round_ in _rounds(config, task, state, phase, judged=False):
            aside.hand_over(functools.partial(finish, round_))


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
    config: RunConfig,
    task: Task,
    state: GameState,
    on_phase: PhaseFn,
    workers: Workers = ALONE,
    *,
    judged: bool = True,
) -> Iterator[Round]:
    """Plays round after round, each beside those of other seeds where there are any.

    Rounds that are not ``judged`` are still to be evaluated.
    """
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
        judged=judged,
    ):
        yield round_
        meet()
