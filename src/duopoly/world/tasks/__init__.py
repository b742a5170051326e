"""The tasks by name, and beside them every environment in Gymnasium's registry.

Importing this loads no simulator; only `get_task` does.
"""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING

import gymnasium as gym

if TYPE_CHECKING:
    from duopoly.world.task import Task

SUMMARIES: dict[str, str] = {
    "Reacher7DOF": "a 7-joint arm brings its fingertip to a random target (50 actions)",
    "DClawTurn": "three fingers turn a valve to a random angle (40 actions)",
    "DKittyOrient": "a quadruped turns on the spot to face a random target (80 actions)",
    "Hopper-v5": "a one-legged robot hops forward, each action held for 2 steps (500 actions)",
    "HalfCheetah-v5": "a two-legged robot runs, each action held for 2 steps (500 actions)",
    "Walker2d-v5": "a two-legged robot walks, each action held for 2 steps (500 actions)",
    "Ant-v5": "a four-legged robot runs (1000 actions)",
    "Humanoid-v5": "a humanoid runs (1000 actions)",
    "Swimmer-v5": "a three-link robot swims (1000 actions)",
    "InvertedPendulum-v5": "a cart balances a pole (1000 actions)",
    "InvertedDoublePendulum-v5": "a cart balances two poles in a row (1000 actions)",
    "Reacher-v5": "a 2-joint arm reaches for a random target in the plane (50 actions)",
    "Pusher-v5": "a 7-joint arm pushes a cylinder to its goal (100 actions)",
    "InHandPen": "a 24-joint hand turns a pen to a random direction (100 actions)",
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

PERTURBATIONS: dict[str, dict[str, str]] = {
    "Reacher7DOF": {
        "forearm": "the forearm grows from 0.321 to 0.421 m (paper, Fig. 4: after 10000 steps)",
        "goal": "targets move to the other side of the arm (paper, Fig. 4: after 8000 steps)",
    },
}
"""Worlds that a task's can turn into while it is learned: one line each, by task and name."""

ACTION_REPEATS: dict[str, int] = {"Hopper-v5": 2, "HalfCheetah-v5": 2, "Walker2d-v5": 2}
"""Environment steps per action, by name, where an action is held for more than one."""

_MODULES = {
    "Reacher7DOF": "reacher7dof",
    "DClawTurn": "dclaw_turn",
    "DKittyOrient": "dkitty_orient",
    "Hopper-v5": "runners",
    "HalfCheetah-v5": "runners",
    "Walker2d-v5": "runners",
    "Ant-v5": "runners",
    "Humanoid-v5": "runners",
    "Swimmer-v5": "runners",
    "InvertedPendulum-v5": "pendulums",
    "InvertedDoublePendulum-v5": "pendulums",
    "Reacher-v5": "arms",
    "Pusher-v5": "arms",
    "InHandPen": "in_hand_pen",
}
"""The module of each task; several may live in one, which has them by name in `TASKS`."""

_ALIASES = {
    "duopoly/Reacher7DOF-v0": "Reacher7DOF",
    "duopoly/DClawTurn-v0": "DClawTurn",
    "duopoly/DKittyOrient-v0": "DKittyOrient",
    "duopoly/InHandPen-v0": "InHandPen",
}


class UnknownTaskError(ValueError):
    """No task has that name; the message gives the nearest ones."""


def canonical_name(name: str) -> str:
    """The task's own name, given that or an alias of it, or the id of a registered environment.

    Raises:
        UnknownTaskError: no task and no environment has that name.
    """
    name = _ALIASES.get(name, name)
    if name not in _MODULES and name not in VARIANTS and not is_registered(name):
        raise UnknownTaskError(f"unknown task {name!r}; {_suggestion(name)}")
    return name


def is_registered(name: str) -> bool:
    """Whether a name is no task's of ours but an id in Gymnasium's registry, with its version.

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
    return name not in _MODULES and name not in VARIANTS and name in gym.registry


def get_task(name: str) -> Task:
    """The task of that name or alias; of a registered environment, one with nothing known.

    Raises:
        UnknownTaskError: no task and no environment has that name.
    """
    name = canonical_name(name)
    if is_registered(name):
        from duopoly.world.tasks.registered import registered_task

        return registered_task(name)
    module = _MODULES[VARIANTS.get(name, name)]
    return importlib.import_module(f"{__name__}.{module}").TASKS[name]


def _suggestion(name: str) -> str:
    ours = {known.lower(): known for known in (*TASK_NAMES, *VARIANTS, *_ALIASES)}
    registered = {known.lower(): known for known in gym.registry} | ours
    near = difflib.get_close_matches(name.lower(), registered, n=1, cutoff=0.85)
    near += difflib.get_close_matches(name.lower(), ours, n=2, cutoff=0.5)
    if near:
        known = list(dict.fromkeys(registered[match] for match in near))
        return "did you mean " + " or ".join(known[:2]) + "?"
    return "there are " + ", ".join(TASK_NAMES) + " and all that Gymnasium has registered"
