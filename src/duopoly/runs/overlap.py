"""What is left to do about a round, done in a thread of its own while the next round is played."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import final

GoOnFn = Callable[[], None]
"""Raises once nobody waits for the work any more."""

Work = Callable[[GoOnFn], None]
"""Calls the function that it is given wherever it can be left, and lets pass what that raises."""


class _LeftError(Exception):
    """Nobody waits for the work any more."""


@final
class Aside:
    """Does work in another thread, one piece after the other."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._is_left = threading.Event()
        self._latest: Future[None] | None = None

    def hand_over(self, work: Work) -> None:
        """Has it done meanwhile; waits for what came before, and raises what that raised."""
        self.wait()
        self._latest = self._pool.submit(work, self._go_on)

    def check(self) -> None:
        """Raises what the latest work raised, if it has already."""
        if self._latest is not None and self._latest.done():
            self._latest.result()

    def wait(self) -> None:
        """Waits until the latest work is done, and raises what it raised."""
        if self._latest is not None:
            self._latest.result()

    def leave(self) -> None:
        """Leaves the latest work where it can be left, and waits until it is there."""
        self._is_left.set()
        self._pool.shutdown()

    def _go_on(self) -> None:
        if self._is_left.is_set():
            raise _LeftError


@contextlib.contextmanager
def overlapped() -> Iterator[Aside]:
    """Yields what does work aside, and sees the last of it done.

    Also where what goes on meanwhile breaks down: what the work raises comes first then, as it
    would have if it had been waited for. What is no `Exception`, such as a signal, leaves the work.
    """
    aside = Aside()
    try:
        try:
            yield aside
        except Exception:
            aside.wait()
            raise
        aside.wait()
    finally:
        aside.leave()
