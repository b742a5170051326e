"""Has many runs played, until all are or the time is over."""

import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Final

from rich.console import Console

from duopoly.sweep.launchers import Launcher
from duopoly.sweep.view import shown
from duopoly.sweep.worker import Order

_LOOK_SECONDS: Final = 1.0


class BudgetSpentError(Exception):
    """The time for a sweep is over."""


def drive(
    orders: Sequence[Order], launcher: Launcher, console: Console, seconds: float | None = None
) -> list[str]:
    """Plays the orders and returns a line for each that failed.

    Raises:
        BudgetSpentError: ``seconds`` are over; what was played until then is safe.
    """
    end = None if seconds is None else time.monotonic() + seconds
    failures: list[str] = []
    with shown(orders, console) as view, launcher as submit:
        under_way: dict[Future[str], Order] = {submit(order): order for order in orders}
        while under_way:
            done, _ = wait(under_way, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                order, error = under_way.pop(future), future.exception()
                told = future.result() if error is None else f"{type(error).__name__}: {error}"
                view.end(order, told)
                if told:
                    failures.append(f"{order.title}: {told}")
            view.look()
            if under_way and end is not None and time.monotonic() > end:
                raise BudgetSpentError
    return failures
