"""``duopoly figure``: the paper's figures, from what was measured."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from duopoly.cli import sweep
from duopoly.fields import between
from duopoly.runs import atomic


@dataclasses.dataclass(frozen=True)
class Figure:
    """Draw a figure of the paper from the runs in results/."""

    name: Positional[Annotated[Literal["fig1", "fig3", "fig4"], arg(metavar="fig1|fig3|fig4")]]
    """Figure 1: the schedules on four robots; 3: against published methods; 4: worlds that change.
    """
    recompute: bool = False
    """Play all its runs first, or what is left of them; that takes days."""
    seeds: str = "0-4"
    """Seeds to play, such as 0-9 or 0,2,5."""
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
    from duopoly.lab import paper_figures

    if command.recompute:
        studies = tuple(paper_figures.studies_of(command.name))
        missing = sweep.Sweep(studies, seeds=command.seeds, jobs=command.jobs)
        sweep.play(missing, sweep.plan(missing))
    caption = paper_figures.draw(command.name, out)
    paper_figures.keep_caption(caption, out)
    print(caption)
    print(f"written to {out}")
