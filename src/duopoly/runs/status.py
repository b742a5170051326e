"""Keeps ``status.json`` true to what a run is doing, whatever ends it.

No JAX here: the status is told before anything heavy is loaded.
"""

import contextlib
from collections.abc import Iterator
from typing import final

from duopoly.runs.errors import DamageError, UsageError, tell
from duopoly.runs.rundir import RunDirectory, State
from duopoly.runs.signals import Stopped, stoppable


@final
class RunStatus:
    """Tells how far a run has come."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._round: int | None = None
        self._env_steps: int | None = None

    def running(self, round_: int | None = None, env_steps: int | None = None) -> None:
        """Writes how far the run has come; None: that is not known yet."""
        self._round, self._env_steps = round_, env_steps
        self._run.write_status("running", round_, env_steps)

    def end(self, state: State, message: str = "", *, is_told: bool = True) -> None:
        """Writes the last word; a full disk must not hide the error that led here.

        Where that error is the disk's own, it need not be told a second time.
        """
        try:
            self._run.write_status(state, self._round, self._env_steps, message)
        except DamageError as error:
            if is_told:
                tell(f"duopoly: {error}")


@contextlib.contextmanager
def status_of(run: RunDirectory) -> Iterator[RunStatus]:
    """Yields the status of a claimed run and writes how it ends; signals end it in good order.

    Raises:
        Stopped: a signal asked for it.
    """
    status = RunStatus(run)
    with stoppable(lambda name: status.end("stopped", f"{name} during a long call")), told(status):
        yield status


@contextlib.contextmanager
def told(status: RunStatus) -> Iterator[None]:
    """Writes that a claimed run is running, and how it ends, whatever ends it."""
    try:
        status.running()
        yield
        status.end("finished")
    except Stopped as stop:
        status.end("stopped", stop.signal_name)
        raise
    except KeyboardInterrupt:
        status.end("stopped", "interrupted")
        raise
    except UsageError as error:
        status.end("failed", str(error), is_told=not isinstance(error, DamageError))
        raise
    except BrokenPipeError:
        status.end("stopped", "nobody reads the output any more")
        raise
    except BaseException as error:
        status.end("failed", f"{type(error).__name__}: {error}")
        raise
