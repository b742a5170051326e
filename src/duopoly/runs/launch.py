"""A run in its directory: begun there, or continued, and seen to its end.

No JAX here: a directory that is not free is refused in no time, and from the first moment on the
status says what becomes of the run.
"""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from duopoly.runs import provenance
from duopoly.runs.config import RunConfig
from duopoly.runs.errors import as_failures
from duopoly.runs.rundir import RunDirectory, claim, is_begun, locked
from duopoly.runs.signals import stoppable
from duopoly.runs.status import RunStatus, status_of
from duopoly.runs.trackers import record
from duopoly.runs.trackers.follow import UNTRACKED, Tracking
from duopoly.world.workers import ALONE, Workers

if TYPE_CHECKING:
    from duopoly.game.state import GameState
    from duopoly.world.logged import Log
    from duopoly.world.task import Task


def train_in(
    run: RunDirectory,
    config: RunConfig,
    *,
    resume: bool,
    task: "Task | None" = None,
    tracking: Tracking = UNTRACKED,
    log: "Log | None" = None,
    workers: Workers = ALONE,
    overlaps: bool = False,
) -> None:
    """Begins a run in its directory, or continues it, and sees it to its end.

    A ``task`` is given where it is the user's own; else the config names it. ``tracking`` is what
    follows the run, a ``log`` what the config tells of its data, ``workers`` who play its episodes.
    Where it ``overlaps``, each round is evaluated and kept while the next one is played. Where the
    run cannot be continued, nothing in its directory has changed.

    Raises:
        UsageError: the directory is not free for it, or a tracker cannot follow it; a
            `FailureError` if the game broke down.
        Stopped: a signal asked for it.
    """
    with locked(run):
        state = None
        if is_begun(run, config, resume=resume):
            with stoppable(lambda _: None):
                state = _found(run, config, task, log)
        claim(run, config)
        with status_of(run) as status:
            provenance.record(run)
            from duopoly.runs.train import train

            with as_failures():
                more = None, tracking, log, workers
                train(run, config, status, task, state, *more, overlaps=overlaps)


def train_side_by_side(
    runs: Sequence[tuple[RunDirectory, RunConfig]],
    *,
    resume: bool,
    task: "Task | None" = None,
    tracking: Sequence[Tracking] | None = None,
    log: "Log | None" = None,
    workers: Workers = ALONE,
    overlaps: bool = False,
) -> None:
    """`train_in` of several runs that differ in their seeds, as one program for all of them.

    Each equals its run alone but for rounding, and can be continued alone or beside others. Where
    one of them cannot begin, none does. One that breaks down does not stop the others. ``tracking``
    is what follows each run. Each has ``workers`` of its own.

    Raises:
        UsageError: a directory is not free; a `FailureError` if a game broke down.
        Stopped: a signal asked for it.
    """
    with contextlib.ExitStack() as stack:
        for run, _ in runs:
            stack.enter_context(locked(run))
        begun = [is_begun(*one, resume=resume) for one in runs]
        with stoppable(lambda _: None):
            states = [
                _found(*one, task, log) if has_begun else None
                for one, has_begun in zip(runs, begun, strict=True)
            ]
        for one in runs:
            claim(*one)
        statuses = [RunStatus(run) for run, _ in runs]

        def give_up(name: str) -> None:
            for status in statuses:
                status.end("stopped", f"{name} during a long call")

        with stoppable(give_up):
            from duopoly.runs.side_by_side import train_all

            for run, _ in runs:
                provenance.record(run)
            seats = [(*one, status) for one, status in zip(runs, statuses, strict=True)]
            followed = tracking or [UNTRACKED for _ in runs]
            train_all(seats, task, states, followed, log, workers, overlaps=overlaps)


def _found(
    run: RunDirectory, config: RunConfig, task: "Task | None", log: "Log | None"
) -> "GameState":
    """Where the run stands, once all that it goes on from is known to be sound."""
    from duopoly.runs.metrics import read_progress
    from duopoly.runs.train import resume_state

    with as_failures():
        read_progress(run.progress)
        record.read(run.trackers)
        return resume_state(run, config, task, log)
