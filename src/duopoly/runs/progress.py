"""Live progress in the terminal: a line per round, and below them a bar over environment steps."""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, NoReturn, final

from rich.console import Console as RichConsole
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from duopoly.runs.metrics import (
    ELAPSED,
    HORIZON_SHARE,
    IMAGINED,
    RETURN,
    ROUND,
    STEPS,
    Metrics,
    is_alike,
)


@final
class Console(RichConsole):
    """A console that tells, as `print` does, that nobody reads it any more."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


FIGURES = (
    ("return", RETURN, "{:9.1f}"),
    ("success", "eval/success_rate", "{:4.0%}"),
    ("imagined", IMAGINED, "{:9.1f}"),
    ("model error", "model/train_loss", "{:8.2g}"),
)
"""Label, tag and format of what a line tells of a round."""

MANY = 0.1
"""Share of a round's policy steps; where more are refused, the line says so."""


def describe(metrics: Metrics) -> str:
    """One line about a round; what is not known is left out."""
    minutes, seconds = divmod(int(metrics[ELAPSED]), 60)
    parts = [f"round {metrics[ROUND]:4.0f}", f"{metrics[STEPS]:9,.0f} steps"]
    for label, tag, form in FIGURES:
        value = metrics.get(tag, math.nan)
        if tag == IMAGINED and not is_alike(metrics.get(HORIZON_SHARE, math.nan)):
            continue
        if not math.isnan(value):
            parts.append(f"{label} {form.format(value)}")
    refused, num_steps = (metrics.get(f"policy/{x}", 0.0) for x in ("refused_steps", "num_steps"))
    if refused > MANY * num_steps:
        parts.append(f"{refused:,.0f} of {num_steps:,.0f} policy steps refused")
    return "   ".join([*parts, f"{minutes:3d}:{seconds:02d}"])


class Live(NamedTuple):
    """What is told while a run goes on."""

    tell: Callable[[Metrics], None]
    """Of each round that is over."""
    phase: Callable[[str], None]
    """Of what is done next."""


@contextlib.contextmanager
def live_progress(
    title: str, first_step: int, num_env_steps: int, console: RichConsole
) -> Iterator[Live]:
    """Yields what is to be told of a run. No bar and no phases where there is no terminal."""
    with _bar(console) as bar:
        begin = f"{title}: starting"
        task = bar.add_task(begin, total=num_env_steps, completed=first_step)

        def tell(metrics: Metrics) -> None:
            console.print(describe(metrics), highlight=False, soft_wrap=True)
            bar.update(task, completed=metrics[STEPS])

        yield Live(tell, lambda name: bar.update(task, description=f"{title}: {name}"))


@contextlib.contextmanager
def live_progress_of_many(
    title: str, first_steps: Mapping[int, int], num_env_steps: int, console: RichConsole
) -> Iterator[Callable[[int], Live]]:
    """`live_progress` of several seeds that play side by side, by the steps each began with.

    The bar goes over the steps of all. Threads may tell at the same time.
    """
    with _bar(console) as bar:
        total = num_env_steps * len(first_steps)
        steps: dict[int, float] = dict(first_steps)
        begin, done = f"{title}: starting", sum(first_steps.values())
        task = bar.add_task(begin, total=total, completed=done)
        width = max(len(str(seed)) for seed in steps)

        def tell(seed: int, metrics: Metrics) -> None:
            line = f"seed {seed:{width}d}   {describe(metrics)}"
            console.print(line, highlight=False, soft_wrap=True)
            steps[seed] = metrics[STEPS]
            bar.update(task, completed=sum(steps.values()))

        def phase(name: str) -> None:
            bar.update(task, description=f"{title}: {name}")

        yield lambda seed: Live(functools.partial(tell, seed), phase)


def _bar(console: RichConsole) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} steps"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        speed_estimate_period=600,
        expand=True,
    )
