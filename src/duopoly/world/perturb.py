"""Worlds that change while a game is played (section 5, Fig. 4): what can change, and when.

Neither JAX nor a simulator here: the command line reads changes before either is loaded.
"""

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import gymnasium as gym

EnvFactory = Callable[[str | None], gym.Env[Any, Any]]
"""Builds an environment, given its render mode."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_CHANGE: Final = re.compile(rf"({_NAME.pattern})@([0-9]{{1,12}})")


class PerturbationError(ValueError):
    """A world cannot change like that; the message names the change, and what there is."""


@dataclasses.dataclass(frozen=True)
class Perturbation:
    """Another world that a task's can turn into: its dynamics differ, or its goals.

    The spaces stay those of the task, and so do reward, termination and whatever else the task
    knows of a transition: these functions must hold in both worlds.
    """

    name: str
    summary: str
    """One line for the list of tasks."""
    make: EnvFactory
    """Builds the environment of the changed world."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise PerturbationError(
                f"perturbation {self.name!r}: a name has letters, digits, '.', '_' and '-' only"
            )


@dataclasses.dataclass(frozen=True)
class Change:
    """A moment from which on a perturbation is in force, in place of what was before."""

    name: str
    """That of the perturbation."""
    env_steps: int
    """The first episode that begins after so many real environment steps meets the new world."""

    def __post_init__(self) -> None:
        if self.env_steps < 1:
            raise PerturbationError(f"{self}: the world changes after at least 1 step")

    def __str__(self) -> str:
        return f"{self.name}@{self.env_steps}"


def read_change(text: str) -> Change:
    """The change that is written as ``NAME@STEPS``.

    Raises:
        PerturbationError: it is written otherwise, or STEPS is zero.
    """
    found = _CHANGE.fullmatch(text)
    if found is None:
        raise PerturbationError(f"{text!r}: must be NAME@STEPS, such as goal@8000")
    return Change(found[1], int(found[2]))


def read_changes(
    given: str | Iterable[str | Change], known: Sequence[str], task: str
) -> tuple[Change, ...]:
    """The changes of a run in the order in which they happen.

    Args:
        given: changes, or as they are written, such as ``forearm@10000``.
        known: names of the perturbations that the task declares.
        task: its name.

    Raises:
        PerturbationError: one is written otherwise or unknown, or two happen at once.
    """
    items = [given] if isinstance(given, str) else given
    changes = [read_change(item) if isinstance(item, str) else item for item in items]
    for change in changes:
        if change.name not in known:
            there_are = f"there are {', '.join(known)}" if known else "it declares none"
            raise PerturbationError(f"{change}: {task} has no such perturbation; {there_are}")
    changes.sort(key=lambda change: change.env_steps)
    for one, other in itertools.pairwise(changes):
        if one.env_steps == other.env_steps:
            raise PerturbationError(f"{one} and {other} happen at once: move one of them")
    return tuple(changes)


def in_force(changes: Sequence[Change], env_steps: int) -> Sequence[Change]:
    """Those that have happened for an episode that begins after ``env_steps``; the last counts."""
    return [change for change in changes if change.env_steps <= env_steps]
