"""``duopoly check``: a task's known functions against its environment."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from duopoly.cli import task_file
from duopoly.cli.flags import Typed, build
from duopoly.fields import between
from duopoly.runs.config import MAX_SEED
from duopoly.runs.errors import FailureError, UsageError, as_failures
from duopoly.runs.rundir import RunDirectory
from duopoly.world.tasks import canonical_name, get_task

if TYPE_CHECKING:
    from duopoly.types import Controller
    from duopoly.world.task import Task


@dataclasses.dataclass(frozen=True)
class Check:
    """Compare a task's known functions with its environment, on random or a policy's actions."""

    task: Positional[Annotated[str, arg(metavar="TASK")]] = dataclasses.field(
        metadata={"unless": "task_file"}
    )
    """Name of the task; may be left out with a --task-file."""
    steps: int = between(100, 10**7, 2_000)
    """Environment steps to play, each action repeat included."""
    seed: int = between(0, MAX_SEED, 0)
    """Seed of the episodes."""
    task_file: Path | None = None
    """Python file whose TASK, made by duopoly.make_task, is checked."""
    policy: Path | None = None
    """Run directory or saved agent whose policy acts, with its noise [default: random actions]."""


def complete(typed: Typed) -> tuple[Check, Check]:
    """What the command would be without its flags, and what it is.

    Raises:
        UsageError: there is something wrong with the file.
        UnknownTaskError: no task has that name.
    """
    name, file = typed.positionals.get("task"), typed.flags.get("task_file")
    default = Check(task_file.load(file, name).name if file else canonical_name(name or ""))
    return default, build(default, typed.flags)


def act(command: Check) -> None:
    """Plays, compares and reports.

    Raises:
        UsageError: the policy is of another task; a `FailureError` if anything differs.
    """
    own = task_file.load(command.task_file) if command.task_file else None
    if command.policy is not None:
        _check_same_task(RunDirectory(command.policy), command.task)
    from duopoly.world.checking.check import check_task

    with as_failures():
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
