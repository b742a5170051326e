"""Signals stop a run in an orderly way, soon, and a second one at once: SIGTERM, SIGINT, SIGHUP of
a terminal that is closed, and SIGUSR1, which batch systems send ahead of the end of a job's time.
"""

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)

GRACE_SECONDS = 25.0
"""How long a compiled call may hold up an orderly stop before the process exits regardless."""


class Stopped(BaseException):
    """A signal asked the run to stop; not an Exception, so that no handler below swallows it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signal_name = signal.Signals(signum).name
        self.exit_code = 128 + signum


@contextlib.contextmanager
def stoppable(give_up: Callable[[str], None]) -> Iterator[None]:
    """Within this context each of `SIGNALS` raises `Stopped` at the next Python instruction.

    Python handles signals only between instructions, and one compiled call can take long. So a
    thread watches too: when the grace is over it calls ``give_up`` with the signal's name and
    exits the process. A second signal exits without ceremony. Only for the main thread.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    watch = threading.Thread(target=_watch, args=(reader, give_up), daemon=True)
    # Who is started by nohup is to go on when its terminal is closed.
    heeded = [s for s in SIGNALS if (s, signal.getsignal(s)) != (signal.SIGHUP, signal.SIG_IGN)]
    handlers = {s: signal.signal(s, _raise_stopped) for s in heeded}
    old_writer = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(old_writer)
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
        os.close(writer)
        watch.join()
        os.close(reader)


_held: list[int] | None = None
"""Signals that came while `held`; None: nothing is held back."""


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Within this context, which must be short, nothing is stopped; at its end what is due is.

    For what belongs together on the disk. Only the main thread is ever stopped so.
    """
    global _held
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _held = []
    try:
        yield
    finally:
        due, _held = _held, None
    if due:
        raise Stopped(due[0])


def _raise_stopped(signum: int, _frame: FrameType | None) -> None:
    if _held is None:
        raise Stopped(signum)
    _held.append(signum)


def _watch(reader: int, give_up: Callable[[str], None]) -> None:
    signum = _next_signal(reader, None)
    if not signum:
        return
    second = _next_signal(reader, GRACE_SECONDS)
    if second == _OVER:
        return
    if second is None:
        give_up(signal.Signals(signum).name)
    os._exit(128 + signum)


def _next_signal(reader: int, seconds: float | None) -> int | None:
    """The next signal's number, `_OVER` once the context is left, None after so many seconds."""
    if not select.select([reader], [], [], seconds)[0]:
        return None
    number = os.read(reader, 1)
    return number[0] if number else _OVER


_OVER = 0
