"""``duopoly plot``: learning curves of finished or running runs."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from duopoly.runs.errors import UsageError, tell
from duopoly.runs.rundir import RunDirectory
from duopoly.schedule import SCHEDULES


@dataclasses.dataclass(frozen=True)
class Plot:
    """Draw learning curves: one run, or interquartile means over the seeds of several.

    Runs of one algorithm whose settings differ are drawn apart, named by what differs.
    """

    run: Positional[Annotated[tuple[Path, ...], arg(metavar="RUN")]]
    """Run directories of one task."""
    out: Path | None = None
    """Picture to write [default: curve.png in the run, curves.png for several]."""


def act(command: Plot) -> None:
    """Draws the curves of the runs in one picture.

    Raises:
        UsageError: one is no run, or they do not belong in one picture.
    """
    runs = [RunDirectory(path) for path in command.run]
    for run in runs:
        if (algorithm := run.read_config().algorithm) not in SCHEDULES:
            raise UsageError(f"{run.path} is a run of an unknown algorithm, {algorithm}")
    from duopoly.lab import curves

    out = command.out or (runs[0].curve if len(runs) == 1 else Path("curves.png"))
    found = curves.read_curves(runs)
    curves.draw(found, out)
    for line in curves.shortened(found):
        tell(f"duopoly plot: {line}")
    print(f"written to {out}")
