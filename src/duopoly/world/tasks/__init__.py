"""The tasks by name, and beside them every environment in Gymnasium's registry.

Importing this loads no simulator; only `get_task` does.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
from typing import TYPE_CHECKING

import gymnasium as gym

from duopoly.world.tasks.catalogue import CATALOGUE, LISTED

if TYPE_CHECKING:
    from duopoly.world.task import Task

TASK_NAMES: tuple[str, ...] = tuple(row.name for row in LISTED)

_ALIASES = {row.env_id: row.name for row in LISTED if row.environment}


class UnknownTaskError(ValueError):
    """No task has that name, or what it needs is not installed; the message gives the way out."""


def canonical_name(name: str) -> str:
    """The task's own name, given that or an alias of it, or the id of a registered environment.

    Raises:
        UnknownTaskError: no task and no environment has that name.
    """
    name = _ALIASES.get(name, name)
    if name not in CATALOGUE and not is_registered(name):
        raise UnknownTaskError(f"unknown task {name!r}; {_suggestion(name)}")
    return name


def is_registered(name: str) -> bool:
    """Whether a name is none of our tasks but an id in Gymnasium's registry, with its version.

    An id such as ``module:Env-v0``, for which Gymnasium would import the module, never is: names
    of tasks are read back from files.

    Raises:
        UnknownTaskError: the name has such a form.
    """
    if ":" in name:
        raise UnknownTaskError(
            f"unknown task {name!r}; no module is imported for a name: "
            f"register the environment in a program of your own and play it from there"
        )
    return name not in CATALOGUE and name in gym.registry


def get_task(name: str) -> Task:
    """The task of that name or alias; of a registered environment, one with nothing known.

    Raises:
        UnknownTaskError: no task and no environment has that name, or its simulator is missing.
    """
    name = canonical_name(name)
    if is_registered(name):
        from duopoly.world.tasks.registered import registered_task

        return registered_task(name)
    return _made(name)


def check_name(task: Task) -> None:
    """Makes sure that a task is the one that its name stands for, if it stands for one.

    A run or a saved agent keeps the name alone: it would be read back as the other task.

    Raises:
        TaskError: there is another task of that name.
    """
    from duopoly.world.task import TaskError

    try:
        there = get_task(task.name)
    except UnknownTaskError:
        return
    told = [field.name for field in dataclasses.fields(task) if field.name != "summary"]
    for name in told if task is not there else ():
        if getattr(task, name) != getattr(there, name):
            raise TaskError(
                f"{task.name}: is the name of a task that is there already, with another {name}; "
                f"give yours one of its own: name='my-{task.name.split('/')[-1]}'"
            )


@functools.cache
def _made(name: str) -> Task:
    """Each task of ours is one object, so that what was compiled for it serves again."""
    row = CATALOGUE[name]
    try:
        return row.make()
    except ModuleNotFoundError as error:
        if row.extra is None or error.name is None:
            raise
        package = error.name.partition(".")[0]
        raise UnknownTaskError(
            f"{name} needs {package}, which is not installed: pip install 'duopoly[{row.extra}]'"
        ) from None


def _suggestion(name: str) -> str:
    ours = {known.lower(): known for known in (*CATALOGUE, *_ALIASES)}
    registered = {known.lower(): known for known in gym.registry} | ours
    near = difflib.get_close_matches(name.lower(), registered, n=1, cutoff=0.85)
    near += difflib.get_close_matches(name.lower(), ours, n=2, cutoff=0.5)
    if near:
        known = list(dict.fromkeys(registered[match] for match in near))
        return "did you mean " + " or ".join(known[:2]) + "?"
    return "there are " + ", ".join(TASK_NAMES) + " and all that Gymnasium has registered"
