"""Keeps what a game yields, round by round: metrics, checkpoints, status.

The order within a round makes a kill at any point harmless: first the row of ``progress.csv``,
then the checkpoint, then the best agent so far, then whatever follows the run. Whatever rows a
checkpoint does not know are cut off when the run resumes.
"""

import contextlib
import time
from collections.abc import Callable, Iterator

from duopoly.game.play import Round
from duopoly.game.state import GameState, goes_on
from duopoly.runs import checkpoint, provenance, saved, snapshot, spaces
from duopoly.runs.atomic import remove_leftovers
from duopoly.runs.config import RunConfig
from duopoly.runs.errors import UsageError
from duopoly.runs.metrics import (
    ELAPSED,
    FPS,
    ROUND,
    STEPS,
    Metrics,
    ProgressTable,
    place,
)
from duopoly.runs.rundir import RunDirectory, claim, is_begun, locked
from duopoly.runs.signals import held
from duopoly.runs.status import RunStatus, told
from duopoly.runs.trackers.follow import Tracking, followed
from duopoly.runs.trackers.tensorboard import TensorBoard
from duopoly.runs.trackers.tracker import tracked
from duopoly.world.task import Task

KeepFn = Callable[[Round], Metrics]
"""Has a round on disk before it returns, and returns its metrics with the clock's."""


@contextlib.contextmanager
def kept(
    run: RunDirectory,
    config: RunConfig,
    task: Task,
    status: RunStatus,
    state: GameState,
    tracking: Tracking,
) -> Iterator[KeepFn]:
    """Yields what keeps the rounds of a run that is locked, claimed and stands at ``state``.

    Raises:
        UsageError: a tracker cannot follow it.
        DamageError: the disk takes no more.
    """
    spaces.write(run, task)
    remove_leftovers(run.checkpoints)
    status.running(state.round, state.env_steps)
    table = ProgressTable(run.progress, num_rounds=state.round)
    best = RunDirectory(run.best)
    if 0 < state.round == table.best_round and not saved.holds(best, state.round):
        saved.save(best, snapshot.snapshot(state), config, task)  # a kill came between
    begin, reached = time.monotonic() - table.time_elapsed, state

    def keep(round_: Round) -> Metrics:
        nonlocal reached
        reached = round_.state
        metrics = clocked(round_, time.monotonic() - begin, reached.env_steps)
        now = snapshot.snapshot(round_.state)
        with held():
            table.append(metrics)
            checkpoint.save(run.checkpoints, now, config)
            if table.best_round == now.round:
                saved.save(best, now, config, task)
            status.running(now.round, reached.env_steps)
            followers.log(metrics)
        return metrics

    seen = tracked(config, place(state.env_steps, state.round), run.path)
    with followed(seen, tracking.trackers, [TensorBoard()], table.kept) as followers:
        yield keep
        if goes_on(task, config.settings, reached, config.steps):
            followers.end("stopped")
        elif tracking.draw and (curve := tracking.draw(run)):
            followers.show("curve", curve, place(reached.env_steps, reached.round))


@contextlib.contextmanager
def logged(
    run: RunDirectory, config: RunConfig, task: Task, state: GameState, tracking: Tracking
) -> Iterator[KeepFn]:
    """`kept`, with a run directory that is locked, begun or gone on with here.

    Raises:
        UsageError: it holds something else, or has come further or less far than ``state``.
        DamageError: the disk takes no more.
    """
    with locked(run):
        if is_begun(run, config, resume=True):
            newest = checkpoint.load_newest(run.checkpoints, config)
            if (stands := newest.round if newest else 0) != state.round:
                raise UsageError(
                    f"{run.path} stands at round {stands} and the agent at {state.round}: "
                    f"load the agent from there, or log elsewhere"
                )
        claim(run, config)
        status, reached = RunStatus(run), state
        with told(status):
            provenance.record(run)
            with kept(run, config, task, status, state, tracking) as keep:

                def keep_and_count(round_: Round) -> Metrics:
                    nonlocal reached
                    reached = round_.state
                    return keep(round_)

                yield keep_and_count
        if goes_on(task, config.settings, reached, config.steps):
            status.end("stopped", "the caller ended it")


@contextlib.contextmanager
def told_of(
    config: RunConfig, task: Task, state: GameState, tracking: Tracking
) -> Iterator[KeepFn]:
    """`logged` without a run directory: trackers are told, and nothing is kept."""
    begin, reached = time.monotonic(), state

    def keep(round_: Round) -> Metrics:
        nonlocal reached
        reached = round_.state
        num_env_steps = reached.env_steps - state.env_steps
        metrics = clocked(round_, time.monotonic() - begin, num_env_steps)
        followers.log(metrics)
        return metrics

    seen = tracked(config, place(state.env_steps, state.round))
    with followed(seen, tracking.trackers) as followers:
        yield keep
        if goes_on(task, config.settings, reached, config.steps):
            followers.end("stopped")


def clocked(round_: Round, elapsed: float, num_env_steps: int) -> Metrics:
    """A round's metrics with its number and the clock's; ``num_env_steps`` took ``elapsed`` s."""
    fps = num_env_steps / elapsed if elapsed > 0 else 0.0
    clock = {STEPS: round_.state.env_steps, ELAPSED: elapsed, FPS: fps}
    return {ROUND: round_.state.round, **clock, **round_.metrics}
