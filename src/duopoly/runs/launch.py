"""A run in its directory: begun there, or continued, and seen to its end.

No JAX here: a directory that is not free is refused in no time, and from the first moment on the
status says what becomes of the run.
"""

from typing import TYPE_CHECKING

from duopoly.runs import provenance
from duopoly.runs.config import RunConfig
from duopoly.runs.errors import as_failures
from duopoly.runs.rundir import RunDirectory, claim, is_begun, locked
from duopoly.runs.signals import stoppable
from duopoly.runs.status import status_of

if TYPE_CHECKING:
    from duopoly.game.state import GameState
    from duopoly.world.task import Task


def train_in(
    run: RunDirectory, config: RunConfig, *, resume: bool, task: "Task | None" = None
) -> None:
    """Begins a run in its directory, or continues it, and sees it to its end.

    A ``task`` is given where it is the user's own; else the config names it. Where the run cannot
    be continued, nothing in its directory has changed.

    Raises:
        UsageError: the directory is not free for it; a `FailureError` if the game broke down.
        Stopped: a signal asked for it.
    """
    with locked(run):
        state = None
        if is_begun(run, config, resume=resume):
            with stoppable(lambda _: None):
                state = _found(run, config, task)
        claim(run, config)
        with status_of(run) as status:
            provenance.record(run)
            from duopoly.runs.train import train

            with as_failures():
                train(run, config, status, task, state)


def _found(run: RunDirectory, config: RunConfig, task: "Task | None") -> "GameState":
    """Where the run stands, once all that it goes on from is known to be sound."""
    from duopoly.runs.metrics import read_progress
    from duopoly.runs.train import resume_state

    with as_failures():
        read_progress(run.progress)
        return resume_state(run, config, task)
