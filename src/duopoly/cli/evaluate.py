"""``duopoly evaluate``: how well a trained policy does."""

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from duopoly.cli import task_file
from duopoly.cli.task_file import MAX_WORKERS
from duopoly.fields import between
from duopoly.runs import atomic
from duopoly.runs.config import MAX_SEED
from duopoly.runs.errors import UsageError, as_failures
from duopoly.runs.rundir import RunDirectory
from duopoly.schedule import check_workers


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Play a trained policy's mean action in the real world and report how well it does."""

    run: Positional[Annotated[Path, arg(metavar="RUN")]]
    """Run directory or saved agent."""
    best: bool = False
    """Play the policy that did best in training's own evaluations, not the newest."""
    episodes: int = between(1, 10**6, 100)
    """Episodes to play."""
    seed: int = between(0, MAX_SEED, 0)
    """Seed of the episodes, none of which training has seen."""
    out: Path | None = None
    """JSON file to write [default: evaluation.json in the run]."""
    transitions: Path | None = None
    """File of transitions (.npz) to write of the episodes, for `duopoly train --data`."""
    num_workers: int = between(1, MAX_WORKERS, 1)
    """Processes that play the episodes, each in a copy of the environment of its own."""
    task_file: Path | None = None
    """Python file whose TASK, made by duopoly.make_task, is the run's own task."""


def act(command: Evaluate) -> None:
    """Plays the episodes, keeps what came of them and shows it.

    Raises:
        UsageError: there is nothing to evaluate, or no place for it; a `FailureError` if playing
            failed.
        SettingsError: workers are to play, and the policy plans.
    """
    run = RunDirectory(command.run)
    if command.best:
        run = _best_of(run)
    config = run.read_config()
    check_workers(config.settings, command.num_workers)
    task = task_file.task_of(run, command.task_file)
    out = command.out or run.evaluation
    for path in (out, command.transitions):
        if path is not None:
            atomic.check_writable(path)
    from rich.console import Console
    from rich.progress import Progress

    from duopoly.lab.evaluate import as_table, evaluate_run, keep

    shown = Console(stderr=True)
    with (
        as_failures(),
        Progress(console=shown, transient=True, disable=not shown.is_terminal) as bar,
    ):
        played = bar.add_task("episodes", total=command.episodes)
        evaluation = evaluate_run(
            run.path,
            command.episodes,
            command.seed,
            task,
            on_episode=lambda number: bar.update(played, completed=number),
            transitions=command.transitions,
            workers=task_file.workers(command.num_workers, config.task, command.task_file),
        )
    try:
        keep(evaluation, out)
    finally:
        Console().print(as_table(evaluation))
    print(f"written to {out}")
    if command.transitions:
        print(f"transitions {command.transitions}")


def _best_of(run: RunDirectory) -> RunDirectory:
    """The saved agent of a run's best round.

    Raises:
        UsageError: there is no run, or none of its rounds was evaluated.
    """
    run.read_config()
    if not atomic.exists(run.best):
        raise UsageError(
            f"{run.path} has no {run.best.name}/: none of its rounds was evaluated, or an earlier "
            f"version played it; evaluate it without --best"
        )
    return RunDirectory(run.best)
