"""A task of the user's own, from the Python file named by ``--task-file``, and packages that
register environments, named by ``--import``.

This is the only place where a user's code is loaded, and only because the command line names it:
no file that a run left behind can name another.
"""

import dataclasses
import functools
import importlib.util
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

import gymnasium as gym

from duopoly.fields import nearest
from duopoly.runs import atomic
from duopoly.runs.errors import UsageError
from duopoly.runs.rundir import RunDirectory
from duopoly.world.tasks import TASK_NAMES, UnknownTaskError, canonical_name, get_task
from duopoly.world.workers import Workers

if TYPE_CHECKING:
    from duopoly.world.task import Task

NAME: Final = "TASK"
"""What the file must define."""


def load(path: Path, name: str | None = None) -> "Task":
    """Runs the file, once in a process however often it is asked for, and returns its ``TASK``.

    Modules beside the file can be imported by it.

    Raises:
        UsageError: there is no such file, it is not Python, it raises, or what it calls ``TASK``
            is missing, no task, named otherwise than ``name``, or named like a task that is there
            without the file.
    """
    task = _load(path.absolute(), str(path))
    if name not in (None, task.name):
        raise UsageError(f"{path} defines the task {task.name!r}, not {name!r}")
    return task


IMPORT: Final = "--import"
"""The flag of every command that names a package."""


def import_packages(words: list[str]) -> list[str]:
    """Imports the packages that the words of a command name, and returns the other words.

    Importing them fills Gymnasium's registry, or they say how by ``register_envs``.

    Raises:
        UsageError: a package is not there, or raises.
    """
    rest: list[str] = []
    todo = list(words)
    while todo:
        word = todo.pop(0)
        flag, equals, name = word.partition("=")
        if flag != IMPORT:
            rest.append(word)
            continue
        if not equals:
            name = todo.pop(0) if todo and not todo[0].startswith("-") else ""
        if not name:
            raise UsageError(f"{IMPORT} needs the name of a package")
        _import(name)
        _imported[name] = None
    return rest


def _import(name: str) -> None:
    try:
        gym.register_envs(importlib.import_module(name))
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{IMPORT} {name}: there is no module {error.name!r} here; install it first"
        ) from None
    except (Exception, SystemExit) as error:  # whatever the package raises
        raise UsageError(f"{IMPORT} {name}: {type(error).__name__}: {error}") from error


MAX_WORKERS: Final = 1_000
"""Most that can be asked for."""


def workers(number: int, name: str, file: Path | None) -> Workers:
    """So many workers that make the task of that name by the words typed here."""
    return Workers(
        number, _Typed(name, None if file is None else file.absolute(), tuple(_imported))
    )


@dataclasses.dataclass(frozen=True)
class _Typed:
    """What makes in another process the task that the words typed here name."""

    name: str
    file: Path | None
    packages: tuple[str, ...]

    def __call__(self) -> "Task":
        for package in self.packages:
            _import(package)
        return get_task(self.name) if self.file is None else load(self.file, self.name)


def imported() -> list[str]:
    """The words by which another process imports the same packages."""
    return [word for name in _imported for word in (IMPORT, name)]


_imported: Final[dict[str, None]] = {}


def check_known(run: RunDirectory) -> None:
    """Makes sure that a run's task is there without a file.

    Raises:
        UsageError: it is not, and a file must be given.
    """
    name = run.read_config().task
    try:
        canonical_name(name)
    except UnknownTaskError:
        raise UsageError(
            f"{run.path} is a run of {name!r}, a task of your own: give the file that defines it "
            f"by --task-file, or the package that registers it by {IMPORT}"
        ) from None


def task_of(run: RunDirectory, file: Path | None) -> "Task | None":
    """The task of the user's own that a run is of; None where it is there without a file.

    Raises:
        UsageError: there is no run, its file is not given, or the file has another task.
    """
    name = run.read_config().task
    if file is not None:
        return load(file, name)
    check_known(run)
    return None


@functools.cache
def _load(path: Path, typed: str) -> "Task":
    if path.suffix != ".py":
        raise UsageError(f"--task-file {typed}: must be a Python file, its name ending in .py")
    if not atomic.exists(path):
        raise UsageError(f"--task-file {typed}: there is no such file")
    if not path.is_file():
        raise UsageError(f"--task-file {typed}: is not a file")
    taken = {*TASK_NAMES, *gym.registry}
    names = _run(path, typed)
    if NAME not in names:
        raise UsageError(
            f"{typed} defines no {NAME}; give it one, {NAME} = duopoly.make_task(…)"
            + nearest(NAME, [name for name in names if not name.startswith("_")])
        )
    from duopoly.world.task import Task

    task = names[NAME]
    if not isinstance(task, Task):
        kind = type(task).__name__
        raise UsageError(
            f"{typed}: {NAME} is of type {kind}, must be a duopoly.Task, as duopoly.make_task gives"
        )
    if task.name in taken:
        raise UsageError(
            f"{typed}: {NAME} is named {task.name!r}, like a task that is there without the file; "
            f"give it a name of its own: duopoly.make_task(…, name='my-{task.name.split('/')[-1]}')"
        )
    return task


def _run(path: Path, typed: str) -> dict[str, object]:
    """Runs a Python file as a module, leaving no compiled copy beside it; returns its globals."""
    spec = importlib.util.spec_from_file_location(f"_duopoly_task_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        del sys.modules[spec.name]
        raise UsageError(_fault(error, path, typed)) from error
    finally:
        sys.dont_write_bytecode = before
    return vars(module)


def _fault(error: BaseException, path: Path, typed: str) -> str:
    """Where in the file an error arose, and what it says."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    message = str(error)
    if isinstance(error, SyntaxError):
        message = error.msg
        if error.filename == str(path):
            lines = [error.lineno]
    place = f", line {lines[-1]}" if lines else ""
    return f"{typed}{place}: {type(error).__name__}: {message}"
