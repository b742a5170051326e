"""The real world of a game: one environment, or one after another where the world changes.

Which one it is depends on the number of real environment steps alone, so a game that is resumed
finds the world as it left it. Nothing here is seen by the players.
"""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any, final

import gymnasium as gym

from duopoly.world.flat import flat
from duopoly.world.perturb import Change, EnvFactory, PerturbationError, in_force, read_changes
from duopoly.world.task import Task


@final
class World:
    """The environments of a game, all made at once, so that none fails when its time has come."""

    def __init__(self, task: Task, changes: Sequence[Change]) -> None:
        """Makes them.

        Raises:
            PerturbationError: the task declares no such perturbation, two changes happen at once,
                or a changed environment has other spaces than the task's.
        """
        self._changes = read_changes(changes, names_of(task), task.name)
        with contextlib.ExitStack() as stack:
            self._env = _opened(stack, task.make)
            self._changed = {
                change.name: _opened(stack, make_of(task, change)) for change in self._changes
            }
            for name, env in self._changed.items():
                _check_spaces(self._env, env, f"{task.name}, {name}")
            self._close = stack.pop_all().close

    def after(self, env_steps: int) -> gym.Env[Any, Any]:
        """The environment of an episode that begins after so many real environment steps."""
        happened = in_force(self._changes, env_steps)
        return self._changed[happened[-1].name] if happened else self._env

    def num_changes(self, env_steps: int) -> int:
        """How often the world has changed for such an episode."""
        return len(in_force(self._changes, env_steps))

    def close(self) -> None:
        """Closes all environments."""
        self._close()


def task_after(task: Task, changes: Sequence[Change], env_steps: int) -> Task:
    """The task in the world that is in force after so many real environment steps."""
    happened = in_force(changes, env_steps)
    return dataclasses.replace(task, make=make_of(task, happened[-1])) if happened else task


def names_of(task: Task) -> tuple[str, ...]:
    """The perturbations that a task declares, by name."""
    return tuple(perturbation.name for perturbation in task.perturbations)


def make_of(task: Task, change: Change) -> EnvFactory:
    """Builds the environment of a changed world."""
    return next(p.make for p in task.perturbations if p.name == change.name)


def _opened(stack: contextlib.ExitStack, make: EnvFactory) -> gym.Env[Any, Any]:
    env = flat(make(None))
    stack.callback(env.close)
    return env


def _check_spaces(env: gym.Env[Any, Any], changed: gym.Env[Any, Any], what: str) -> None:
    for kind, old, new in (
        ("observation", env.observation_space, changed.observation_space),
        ("action", env.action_space, changed.action_space),
    ):
        if old != new:
            raise PerturbationError(f"{what}: the {kind} space is {new}, the task's is {old}")
