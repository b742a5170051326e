"""``duopoly figure``: the paper's figures, from what was measured."""

import dataclasses
import os
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from duopoly.fields import between
from duopoly.runs import atomic
from duopoly.runs.errors import FailureError, UsageError


@dataclasses.dataclass(frozen=True)
class Figure:
    """Draw a figure of the paper from the runs in results/."""

    name: Positional[Annotated[Literal["fig1", "fig3", "fig4"], arg(metavar="fig1|fig3|fig4")]]
    """Figure 1: the schedules on four robots; 3: against published methods; 4: worlds that change.
    """
    recompute: bool = False
    """Play all its runs first, or what is left of them; that takes days."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds to play."""
    jobs: int = between(1, 1_000, 1)
    """Runs at a time, each with an equal share of the cores."""
    out: Path | None = None
    """Picture to write [default: results/figures/NAME.png]; its caption lies beside it."""


def act(command: Figure) -> None:
    """Draws the figure, of runs that are played first where that is asked for.

    Raises:
        UsageError: there is nothing to draw, or no place for it; a `FailureError` if a run failed.
    """
    out = command.out or Path("results/figures") / f"{command.name}.png"
    atomic.check_writable(out)
    cores = len(os.sched_getaffinity(0))
    if command.jobs > cores:
        raise UsageError(f"--jobs {command.jobs}: must be at most {cores}, the cores there are")
    from duopoly.lab import paper_figures, studies

    if command.recompute:
        names = paper_figures.studies_of(command.name)
        if not studies.play(names, command.seeds, command.jobs, num_episodes=100):
            raise FailureError("not every run came to its end; see what is said above")
    caption = paper_figures.draw(command.name, out)
    paper_figures.keep_caption(caption, out)
    print(caption)
    print(f"written to {out}")
