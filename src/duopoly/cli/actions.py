"""What each command does. What is heavy is imported here, once the command is known to be sound."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from duopoly.cli import task_file
from duopoly.cli.commands import (
    Check,
    Command,
    Diagnose,
    Evaluate,
    Picture,
    Plot,
    Tasks,
    Theory,
    Train,
    Video,
)
from duopoly.runs import atomic, provenance
from duopoly.runs.config import RunConfig
from duopoly.runs.errors import FailureError, UsageError
from duopoly.runs.rundir import RunDirectory, claim, locked, run_directory
from duopoly.runs.status import status_of
from duopoly.world.perturb import PerturbationError, read_change
from duopoly.world.tasks import (
    PERTURBATIONS,
    SUMMARIES,
    UnknownTaskError,
    canonical_name,
    get_task,
    is_registered,
)

if TYPE_CHECKING:
    from duopoly.types import Controller
    from duopoly.world.task import Task

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".svg", ".pdf")


def act(command: Command) -> None:
    """Carries out a command.

    Raises:
        UsageError: it cannot be done; a `FailureError` if that was seen only on the way.
        Stopped: a signal asked for it.
    """
    match command:
        case Train():
            _train(command)
        case Evaluate():
            _evaluate(command)
        case Plot():
            _plot(command)
        case Video():
            _video(command)
        case Picture():
            _picture(command)
        case Diagnose():
            _diagnose(command)
        case Check():
            _check(command)
        case Tasks():
            _tasks()
        case Theory():
            from duopoly.cli import theory

            theory.act(command.games, command.states, command.seed, command.out)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """The known ways in which a game can fail, as one line instead of a traceback."""
    from duopoly.game.state import GameError
    from duopoly.render.frames import RenderError
    from duopoly.world.interaction import SimulatorError
    from duopoly.world.task import TaskError

    try:
        yield
    except (GameError, SimulatorError, TaskError, PerturbationError, RenderError) as error:
        raise FailureError(str(error)) from error


def _train(command: Train) -> None:
    config = RunConfig(
        command.task,
        command.algorithm,
        command.seed,
        command.steps,
        command.settings,
        tuple(map(read_change, command.perturb)),
    )
    run = run_directory(command.out, command.task, command.algorithm, command.seed)
    task = None
    if command.task_file:
        task = _sound_task(command.task_file)
    elif is_registered(command.task):
        _check_playable(command.task)
    train_in(run, config, resume=command.resume, task=task)
    _draw_curve(run)
    for name, path in {
        "curve": run.curve,
        "metrics": run.progress,
        "checkpoints": run.checkpoints,
    }.items():
        if path.exists():
            print(f"{name:11s} {path}")


def _draw_curve(run: RunDirectory) -> None:
    from duopoly.lab import curves

    try:
        curves.draw([curves.read_curve(run)], run.curve)
    except (UsageError, OSError) as error:
        print(f"duopoly: no picture of the curve: {error}", file=sys.stderr)


def _sound_task(file: Path) -> "Task":
    """The file's task, after a look at its functions and before anything is written."""
    task = task_file.load(file)
    from duopoly.world.checking.traceable import check_functions

    with _told():
        check_functions(task)
    return task


def _check_playable(name: str) -> None:
    """Refuses an environment whose spaces cannot be played, before anything is written."""
    from duopoly.world.task import TaskError

    try:
        _ = get_task(name).spec
    except TaskError as error:
        raise UsageError(str(error)) from error


def train_in(
    run: RunDirectory, config: RunConfig, *, resume: bool, task: "Task | None" = None
) -> None:
    """Begins a run in its directory, or continues it, and sees it to its end.

    A ``task`` is given where it is the user's own; else the config names it.

    Raises:
        UsageError: the directory is not free for it; a `FailureError` if the game broke down.
        Stopped: a signal asked for it.
    """
    with locked(run):
        claim(run, config, resume=resume)
        with status_of(run) as status:
            provenance.record(run)
            from duopoly.runs.train import train

            with _told():
                train(run, config, status, task)


def _evaluate(command: Evaluate) -> None:
    run = RunDirectory(command.run)
    task = _own_task(run, command.task_file)
    from duopoly.lab.evaluate import as_table, evaluate_run, keep

    with _told():
        evaluation = evaluate_run(run.path, command.episodes, command.seed, task)
    Console().print(as_table(evaluation))
    keep(evaluation, run.evaluation)
    print(f"written to {run.evaluation}")


def _own_task(run: RunDirectory, file: Path | None) -> "Task | None":
    """The task of the user's own that a run is of; None where it is there without a file."""
    name = run.read_config().task
    if file is not None:
        return task_file.load(file, name)
    task_file.check_known(run)
    return None


def _plot(command: Plot) -> None:
    runs = [RunDirectory(path) for path in command.run]
    for run in runs:
        run.read_config()
    from duopoly.lab import curves

    out = command.out or (runs[0].curve if len(runs) == 1 else Path("curves.png"))
    curves.draw(curves.read_curves(runs), out)
    print(f"written to {out}")


def _video(command: Video) -> None:
    run = RunDirectory(command.run)
    task = _own_task(run, command.task_file)
    out = command.out or run.video
    if out.suffix.lower() != ".mp4":
        raise UsageError(f"--out {out}: a film must end in .mp4")
    atomic.check_writable(out)
    from duopoly.render.film import film

    with _told():
        film(command.run, out, command.episodes, command.seed, task)
    print(f"written to {out}")


def _picture(command: Picture) -> None:
    subjects = [subject_of(word) for word in command.what]
    if command.out.suffix.lower() not in PICTURES:
        raise UsageError(
            f"{command.out}: must end in one of {', '.join(PICTURES[:-1])} or {PICTURES[-1]}"
        )
    atomic.check_writable(command.out)
    from duopoly.render import picture

    with _told():
        drawn = picture.draw(subjects, command.moments, command.width, command.seed)
    picture.write(drawn, command.columns, command.out)
    print(f"written to {command.out}, drawn with {drawn.backend}")


def subject_of(word: str) -> str | Path:
    """What a word means: a task, by its own name, or a directory with a trained policy.

    Raises:
        UnknownTaskError: it is neither the name of a task nor a directory.
        UsageError: the directory holds no run.
    """
    try:
        return canonical_name(word)
    except UnknownTaskError:
        if not (path := Path(word)).is_dir():
            raise
    RunDirectory(path).read_config()
    return path


def _diagnose(command: Diagnose) -> None:
    run = RunDirectory(command.run)
    own = _own_task(run, command.task_file)
    config = run.read_config()
    from duopoly.lab import diagnose, diagnose_figures
    from duopoly.runs.metrics import STEPS, read_progress

    with _told():
        diagnosis = diagnose.diagnose(run.path, command.episodes, command.seed, own)
    Console().print(diagnose.as_table(diagnosis))
    pictures = diagnose_figures.draw(diagnosis, run.diagnosis)
    if run.progress.exists():
        out = run.diagnosis / "gaps.png"
        title = f"{config.task}, {config.algorithm.upper()}, seed {config.seed}"
        diagnose_figures.draw_gaps(read_progress(run.progress), STEPS, title, out)
        pictures.append(out)
    numbers = run.diagnosis / "diagnosis.json"
    diagnose.keep(diagnosis, numbers)
    for path in (numbers, *pictures):
        print(f"written to {path}")


def _check(command: Check) -> None:
    own = task_file.load(command.task_file) if command.task_file else None
    if command.policy is not None:
        _check_same_task(RunDirectory(command.policy), command.task)
    from duopoly.world.checking.check import check_task

    with _told():
        task = own or get_task(command.task)
        acts = None if command.policy is None else _controller_of(command.policy, task)
        report = check_task(task, command.steps, command.seed, controller=acts)
    print(report)
    if not report.ok:
        parts = ", ".join(report.differing)
        raise FailureError(f"{report.task} differs from its environment: {parts}")


def _check_same_task(run: RunDirectory, task: str) -> None:
    """Refuses a run of another task before anything heavy is loaded."""
    if (trained_on := run.read_config().task) != task:
        raise UsageError(f"--policy {run.path}: was trained on {trained_on}, not on {task}")


def _controller_of(path: Path, task: "Task") -> "Controller":
    """What acts as the run's policy does."""
    from duopoly.agent import load_agent

    return load_agent(path, task).controller


def _tasks() -> None:
    table = Table("task", "what it is")
    for name, summary in SUMMARIES.items():
        table.add_row(name, summary)
    Console().print(table)
    print("and any id in Gymnasium's registry with flat Box spaces, such as Pendulum-v1")
    changes = Table("task", "--perturb", "what changes while it is learned")
    for name, perturbations in PERTURBATIONS.items():
        for perturbation, summary in perturbations.items():
            changes.add_row(name, perturbation, summary)
    Console().print(changes)
