"""How the runs of a sweep get on: a live table in a terminal, elsewhere a line for each event."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from duopoly.runs.errors import DamageError
from duopoly.runs.metrics import ELAPSED, RETURN, STEPS, read_progress
from duopoly.runs.rundir import RunDirectory, is_locked
from duopoly.sweep.worker import Order

_REFRESH_SECONDS: Final = 5.0
_MAX_ROWS: Final = 20
"""Runs under way that a terminal shows."""


class Seen(NamedTuple):
    """The last row of a run under way."""

    steps: float = 0.0
    mean_return: float | None = None
    seconds: float = 0.0

    def seconds_left(self, num_env_steps: int) -> float | None:
        """At the pace so far; None: not known yet."""
        return self.seconds * (num_env_steps / self.steps - 1.0) if self.steps else None


@final
class View:
    """Tells what runs are under way and what became of the others."""

    def __init__(self, orders: Sequence[Order], console: Console, live: Live | None) -> None:
        self._console, self._live = console, live
        self._waiting = dict.fromkeys(orders)
        self._under_way: dict[Order, Seen] = {}
        self._num_orders, self._num_failed, self._looked = len(orders), 0, -_REFRESH_SECONDS

    def look(self) -> None:
        """Looks how the runs get on, every few seconds."""
        now = time.monotonic()
        if now - self._looked < _REFRESH_SECONDS:
            return
        self._looked = now
        for order in list(self._waiting):
            if is_locked(RunDirectory(order.run)):
                del self._waiting[order]
                self._under_way[order] = Seen()
                if self._live is None:
                    self._tell(f"{order.title}: under way")
        for order in self._under_way:
            self._under_way[order] = _seen(order)
        if self._live is not None:
            self._live.update(self._picture(), refresh=True)

    def end(self, order: Order, error: str) -> None:
        """Tells that a run has ended; without an error it is done."""
        self._waiting.pop(order, None)
        self._under_way.pop(order, None)
        self._num_failed += bool(error)
        self._tell(f"{order.title}: {error or 'done'}")

    def _tell(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)

    def _picture(self) -> Group:
        table = Table(box=None, pad_edge=False)
        table.add_column("under way", no_wrap=True)
        for name in ("seed", "steps", "of", "return", "minutes", "left"):
            table.add_column(name, justify="right")
        for order, seen in list(self._under_way.items())[:_MAX_ROWS]:
            left = seen.seconds_left(order.num_env_steps)
            cells = (f"{seen.steps:,.0f}", f"{order.num_env_steps:,}")
            known = "" if seen.mean_return is None else f"{seen.mean_return:,.1f}"
            times = (f"{seen.seconds / 60:.0f}", "" if left is None else f"{left / 60:.0f}")
            table.add_row(Text(order.name), str(order.seed), *cells, known, *times)
        num_ended = self._num_orders - len(self._waiting) - len(self._under_way)
        counts = f"{num_ended} of {self._num_orders} ended, {len(self._waiting)} waiting"
        if self._num_failed:
            counts += f", {self._num_failed} failed"
        return Group(table, Text(counts))


@contextlib.contextmanager
def shown(orders: Sequence[Order], console: Console) -> Iterator[View]:
    """Yields what is to be told of the orders."""
    if not console.is_terminal:
        yield View(orders, console, None)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield View(orders, console, live)


def _seen(order: Order) -> Seen:
    try:
        rows = read_progress(order.run / "progress.csv")
    except DamageError:
        return Seen()
    if not rows:
        return Seen()
    last = rows[-1]
    return Seen(last[STEPS], last.get(RETURN), last.get(ELAPSED, 0.0))
