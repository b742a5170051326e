"""Which functions of a task's world are known, and which outputs the model must learn instead."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np

from duopoly.model.dynamics import KnownFunctions
from duopoly.model.outcomes import LearnedOutputs
from duopoly.settings import ModelSettings
from duopoly.world.task import Spec, Task, to_env_units

_Fn = TypeVar("_Fn", bound=Callable[..., Any] | None)


def learned_outputs(task: Task, settings: ModelSettings) -> LearnedOutputs:
    """Returns what the model must learn beside the next observation."""
    return LearnedOutputs(
        reward=task.reward_fn is None or settings.learn_reward,
        termination=task.terminated_fn is None or settings.learn_termination,
    )


def known_functions(
    task: Task,
    settings: ModelSettings = ModelSettings(),  # noqa: B008
) -> KnownFunctions:
    """Returns the functions of the task's world that need not be learned.

    Those of two tasks are equal, and hash alike, where their functions and their bounds are: what
    is compiled for one serves the other.
    """
    learned = learned_outputs(task, settings)
    functions = (
        None if learned.reward else _hashable(task.reward_fn),
        None if learned.termination else _hashable(task.terminated_fn),
        _hashable(task.compute_fn),
    )
    is_asked = any(function is not None for function in functions)
    return KnownFunctions(*functions, _EnvUnits.of(task.spec) if is_asked else _unasked)


def _unasked(action: jax.Array) -> jax.Array:
    """Stands for the units where nothing is known that would ask for them."""
    return action


@dataclasses.dataclass(frozen=True)
class _EnvUnits:
    """`to_env_units` with bounds, a value."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    @staticmethod
    def of(spec: Spec) -> "_EnvUnits":
        return _EnvUnits(tuple(spec.action_low.tolist()), tuple(spec.action_high.tolist()))

    def __call__(self, action: jax.Array) -> jax.Array:
        low, high = (np.asarray(bounds, np.float32) for bounds in (self.low, self.high))
        return to_env_units(action, low, high)


@dataclasses.dataclass(frozen=True, eq=False)
class _ByIdentity:
    """A callable that cannot be hashed, such as a module that holds arrays: equal to itself."""

    fn: Callable[..., Any]

    def __call__(self, *args: jax.Array) -> Any:
        return self.fn(*args)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and other.fn is self.fn

    def __hash__(self) -> int:
        return id(self.fn)


def _hashable(fn: _Fn) -> _Fn | _ByIdentity:
    if fn is None:
        return fn
    try:
        hash(fn)
    except TypeError:
        return _ByIdentity(fn)
    return fn
