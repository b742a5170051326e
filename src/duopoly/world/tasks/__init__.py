"""The tasks by name. Importing this loads no simulator; only `get_task` does."""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duopoly.world.task import Task

SUMMARIES: dict[str, str] = {
    "Reacher7DOF": "a 7-joint arm brings its fingertip to a random target (50 actions)",
    "DClawTurn": "three fingers turn a valve to a random angle (40 actions)",
    "DKittyOrient": "a quadruped turns on the spot to face a random target (80 actions)",
    "Hopper-v5": "a one-legged robot hops forward, each action held for 2 steps (500 actions)",
    "InvertedPendulum-v5": "a cart balances a pole (1000 actions)",
}
"""One line per task, by name."""

TASK_NAMES: tuple[str, ...] = tuple(SUMMARIES)

VARIANTS: dict[str, str] = {
    "DClawTurn-fixed": "DClawTurn",
    "DClawTurn-random-dynamics": "DClawTurn",
    "DKittyOrient-fixed": "DKittyOrient",
    "DKittyOrient-random-dynamics": "DKittyOrient",
}
"""Tasks that differ from a listed one only in what is drawn in every episode, by name."""

ACTION_REPEATS: dict[str, int] = {"Hopper-v5": 2}
"""Environment steps per action, by name, where an action is held for more than one."""

_MODULES = {
    "Reacher7DOF": "reacher7dof",
    "DClawTurn": "dclaw_turn",
    "DKittyOrient": "dkitty_orient",
    "Hopper-v5": "hopper",
    "InvertedPendulum-v5": "inverted_pendulum",
}

_ALIASES = {
    "duopoly/Reacher7DOF-v0": "Reacher7DOF",
    "duopoly/DClawTurn-v0": "DClawTurn",
    "duopoly/DKittyOrient-v0": "DKittyOrient",
}


class UnknownTaskError(ValueError):
    """No task has that name; the message gives the nearest ones."""


def canonical_name(name: str) -> str:
    """The task's own name, given that or an alias of it.

    Raises:
        UnknownTaskError: no task has that name.
    """
    name = _ALIASES.get(name, name)
    if name not in _MODULES and name not in VARIANTS:
        raise UnknownTaskError(f"unknown task {name!r}; {_suggestion(name)}")
    return name


def get_task(name: str) -> Task:
    """The task of that name or alias, or the variant of a task.

    Raises:
        UnknownTaskError: no task has that name.
    """
    name = canonical_name(name)
    base = VARIANTS.get(name, name)
    module = importlib.import_module(f"{__name__}.{_MODULES[base]}")
    return module.TASK if name == base else module.VARIANT_TASKS[name]


def _suggestion(name: str) -> str:
    by_lower_case = {known.lower(): known for known in (*TASK_NAMES, *VARIANTS, *_ALIASES)}
    near = difflib.get_close_matches(name.lower(), by_lower_case, n=2, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(by_lower_case[match] for match in near) + "?"
    return "there are " + ", ".join(TASK_NAMES)
