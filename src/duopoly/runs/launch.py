"""A run in its directory: begun there, or continued, and seen to its end.

No JAX here: a directory that is not free is refused in no time, and from the first moment on the
status says what becomes of the run.
"""

from typing import TYPE_CHECKING

from duopoly.runs import provenance
from duopoly.runs.config import RunConfig
from duopoly.runs.errors import as_failures
from duopoly.runs.rundir import RunDirectory, claim, locked
from duopoly.runs.status import status_of

if TYPE_CHECKING:
    from duopoly.world.task import Task


def train_in(
    run: RunDirectory, config: RunConfig, *, resume: bool, task: "Task | None" = None
) -> None:
    """Begins a run in its directory, or continues it, and sees it to its end.

    A ``task`` is given where it is the user's own; else the config names it.

    Raises:
        UsageError: the directory is not free for it; a `FailureError` if the game broke down.
        Stopped: a signal asked for it.
    """
    with locked(run):
        claim(run, config, resume=resume)
        with status_of(run) as status:
            provenance.record(run)
            from duopoly.runs.train import train

            with as_failures():
                train(run, config, status, task)
