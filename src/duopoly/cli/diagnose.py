"""``duopoly diagnose``: how far a run's model can be believed."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from duopoly.cli import task_file
from duopoly.fields import between
from duopoly.runs import atomic
from duopoly.runs.config import MAX_SEED
from duopoly.runs.errors import as_failures
from duopoly.runs.rundir import RunDirectory
from duopoly.runs.trackers.show import show


@dataclasses.dataclass(frozen=True)
class Diagnose:
    """Confront a run's model with what its policy really meets, in numbers and pictures."""

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Run directory or saved agent."""
    episodes: int = between(1, 10**6, 10)
    """Real episodes to play."""
    seed: int = between(0, MAX_SEED, 0)
    """Seed of the episodes, none of which training has seen."""
    out: Path | None = None
    """Folder to write to [default: diagnosis in the run]."""
    task_file: Path | None = None
    """Python file whose TASK, made by duopoly.make_task, is the run's own task."""


def act(command: Diagnose) -> None:
    """Plays the episodes, keeps how the model predicts them and shows it.

    Raises:
        UsageError: there is no fitted model, or no place for what is found; a `FailureError` if
            playing failed.
    """
    run = RunDirectory(command.run)
    own = task_file.task_of(run, command.task_file)
    config = run.read_config()
    from rich.console import Console

    from duopoly.lab import diagnose, diagnose_figures
    from duopoly.runs.metrics import STEPS, read_progress

    progress = read_progress(run.progress)
    folder = command.out or run.diagnosis
    numbers = folder / "diagnosis.json"
    atomic.check_writable(numbers if folder.is_dir() else folder)
    with as_failures():
        diagnosis = diagnose.diagnose(run.path, command.episodes, command.seed, own)
    atomic.check_writable(numbers)
    try:
        diagnose.keep(diagnosis, numbers)
        pictures = diagnose_figures.draw(diagnosis, folder)
        if progress:
            gaps = folder / "gaps.png"
            title = f"{config.task}, {config.algorithm.upper()}, seed {config.seed}"
            diagnose_figures.draw_gaps(progress, STEPS, title, gaps)
            pictures.append(gaps)
    finally:
        Console().print(diagnose.as_table(diagnosis))
    show(run, {f"diagnosis/{path.stem}": path for path in pictures})
    for path in (numbers, *pictures):
        print(f"written to {path}")
