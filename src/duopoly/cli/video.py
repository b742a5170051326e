"""``duopoly video``: a film of a trained policy."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from duopoly.cli import task_file
from duopoly.fields import between
from duopoly.runs import atomic
from duopoly.runs.config import MAX_SEED
from duopoly.runs.errors import UsageError, as_failures
from duopoly.runs.rundir import RunDirectory
from duopoly.runs.trackers.show import show


@dataclasses.dataclass(frozen=True)
class Video:
    """Film a trained policy."""

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Run directory or saved agent."""
    episodes: int = between(1, 10**4, 3)
    """Episodes to film."""
    out: Path | None = None
    """Film to write [default: video.mp4 in the run]."""
    seed: int = between(0, MAX_SEED, 0)
    """Seed of the episodes."""
    task_file: Path | None = None
    """Python file whose TASK, made by duopoly.make_task, is the run's own task."""


def act(command: Video) -> None:
    """Films the episodes.

    Raises:
        UsageError: there is nothing to film, or no place for it; a `FailureError` if it failed.
    """
    run = RunDirectory(command.run)
    task = task_file.task_of(run, command.task_file)
    out = command.out or run.video
    if out.suffix.lower() != ".mp4":
        raise UsageError(f"--out {out}: a film must end in .mp4")
    atomic.check_writable(out)
    from duopoly.render.film import film
    from duopoly.render.frames import RenderError

    with as_failures(RenderError):
        film(command.run, out, command.episodes, command.seed, task)
    show(run, {"video": out})
    print(f"written to {out}")
