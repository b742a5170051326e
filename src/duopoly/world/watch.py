"""A warning where a step of the simulator does not return, which nothing else would ever tell."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import Final

PATIENCE_SECONDS: Final = 60.0
"""How long a step may take before it is told."""

_steps: dict[int, tuple[str, int | None, object, float]] = {}
"""By thread: of which task, the action (None: the reset), in which episode, and since when."""


def begins(task: str, action: int | None, where: object) -> None:
    """Notes that the simulator is about to be called."""
    _steps[threading.get_ident()] = task, action, where, time.monotonic()


def returns() -> None:
    """Notes that it has answered."""
    _steps.pop(threading.get_ident(), None)


@contextlib.contextmanager
def watched(patience: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Within this context a call of the simulator that takes longer is told on stderr, once.

    Only calls of the thread that is in it.
    """
    is_over, of_thread = threading.Event(), threading.get_ident()
    thread = threading.Thread(target=_watch, args=(is_over, patience, of_thread), daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _watch(is_over: threading.Event, patience: float, of_thread: int) -> None:
    told = None
    while not is_over.wait(patience / 4):
        step = _steps.get(of_thread)
        if step is None or step is told or time.monotonic() - step[3] < patience:
            continue
        task, action, where, since = told = step
        what = "reset" if action is None else f"the step at action {action}"
        seconds = time.monotonic() - since
        print(
            f"duopoly: {task}: {what} of {where} has not returned for {seconds:.0f} s; "
            f"Ctrl-C stops the run",
            file=sys.stderr,
        )
