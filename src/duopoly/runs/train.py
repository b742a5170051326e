"""Plays a game and keeps what it yields: metrics, checkpoints, status.

The order within a round makes a kill at any point harmless: first the row of ``progress.csv``,
then the checkpoint, then the best agent so far. Whatever rows a checkpoint does not know are cut
off when the run resumes.
"""

import contextlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

from duopoly.game.play import PhaseFn, Round, play
from duopoly.game.state import GameState, start
from duopoly.lockstep import meet
from duopoly.runs import checkpoint, saved, snapshot, spaces
from duopoly.runs.atomic import remove_leftovers
from duopoly.runs.config import RunConfig
from duopoly.runs.metrics import ELAPSED, FPS, ROUND, STEPS, EventFile, Metrics, ProgressTable
from duopoly.runs.progress import Console, Live, live_progress
from duopoly.runs.rundir import RunDirectory
from duopoly.runs.signals import held
from duopoly.runs.status import RunStatus
from duopoly.schedule import SCHEDULES
from duopoly.world.task import Task
from duopoly.world.tasks import get_task
from duopoly.world.watch import watched


def train(
    run: RunDirectory,
    config: RunConfig,
    status: RunStatus,
    task: Task | None = None,
    state: GameState | None = None,
    progress: AbstractContextManager[Live] | None = None,
) -> None:
    """Trains in a run directory that is locked and claimed, until the steps are used up.

    A ``task`` is given where it is the user's own; the ``state``, where the run goes on, by
    `resume_state`. Whatever ends it early, the last finished round is on disk. ``progress``
    is where it is told; by default the terminal.

    Raises:
        DamageError: the disk takes no more.
    """
    task = task or get_task(config.task)
    state = state or start(task, config.settings, config.seed)
    spaces.write(run, task)
    remove_leftovers(run.checkpoints)
    status.running(state.round, state.env_steps)
    table = ProgressTable(run.progress, num_rounds=state.round)
    best = RunDirectory(run.best)
    if 0 < state.round == table.best_round and not saved.holds(best, state.round):
        saved.save(best, snapshot.snapshot(state), config, task)  # a kill came between
    title = f"{config.algorithm} {config.task} seed {config.seed}"
    begin = time.monotonic() - table.time_elapsed
    with (
        contextlib.closing(EventFile(run.path, first_step=state.env_steps + 1)) as events,
        progress or live_progress(title, state.env_steps, config.steps, Console()) as live,
        watched(),
    ):
        for round_ in _rounds(config, task, state, live.phase):
            env_steps, elapsed = round_.state.env_steps, time.monotonic() - begin
            metrics = clocked(round_, elapsed, env_steps)
            kept = snapshot.snapshot(round_.state)
            with held():
                table.append(metrics)
                checkpoint.save(run.checkpoints, kept, config)
                if table.best_round == kept.round:
                    saved.save(best, kept, config, task)
                status.running(round_.state.round, env_steps)
                events.write(metrics, env_steps, time.time())
            live.tell(metrics)


def clocked(round_: Round, elapsed: float, num_env_steps: int) -> Metrics:
    """A round's metrics with its number and the clock's; ``num_env_steps`` took ``elapsed`` s."""
    fps = num_env_steps / elapsed if elapsed > 0 else 0.0
    clock = {STEPS: round_.state.env_steps, ELAPSED: elapsed, FPS: fps}
    return {ROUND: round_.state.round, **clock, **round_.metrics}


def resume_state(run: RunDirectory, config: RunConfig, task: Task | None = None) -> GameState:
    """Where the run stands: at its newest sound checkpoint, or before the first round.

    Raises:
        DamageError: checkpoints exist and none is sound, or it does not fit the settings.
    """
    found = checkpoint.load_newest(run.checkpoints, config)
    fresh = start(task or get_task(config.task), config.settings, config.seed)
    return snapshot.restore(found, fresh) if found else fresh


def _rounds(config: RunConfig, task: Task, state: GameState, on_phase: PhaseFn) -> Iterator[Round]:
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
    ):
        yield round_
        meet()
