"""Observations of several parts as one flat array, each of whose components has a name.

The order is Gymnasium's: that of a Tuple, of a Dict its keys in the order that the space has them
(sorted, where it was built from a plain dict); an array row by row. A choice of n is n components,
1 for what is chosen and 0 for the others.
"""

import math
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class SpaceError(ValueError):
    """A space cannot be learned; the message names the part and the way out."""


def flat(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """The environment, wrapped where it observes anything but a flat array."""
    return env if _is_flat(env.observation_space) else gym.wrappers.FlattenObservation(env)


def flat_observation(space: gym.Space[Any], obs: Any) -> np.ndarray:
    """An observation of a space as its flat array."""
    return np.asarray(obs if _is_flat(space) else spaces.flatten(space, obs))


def component_names(space: gym.Space[Any]) -> tuple[str, ...]:
    """A name for each component of the flat array: ``obs["achieved_goal"][2]``.

    Raises:
        SpaceError: a part is an image, or no array of numbers and no choice.
    """
    return tuple(_names(space, "obs"))


def _is_flat(space: gym.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) == 1


def _names(space: gym.Space[Any], path: str) -> Iterator[str]:
    match space:
        case spaces.Dict():
            for key, part in space.spaces.items():
                yield from _names(part, f'{path}["{key}"]')
        case spaces.Tuple():
            for place, part in enumerate(space.spaces):
                yield from _names(part, f"{path}[{place}]")
        case spaces.Box() | spaces.MultiBinary():
            if space.dtype == np.uint8 and len(space.shape) >= 2:
                raise SpaceError(
                    f"{path} is an image {space.shape}, but the model predicts states: "
                    f"choose a variant of the environment that observes its state"
                )
            if math.prod(space.shape) == 0:
                raise SpaceError(f"{path} has shape {space.shape}: there is nothing to learn")
            for index in np.ndindex(space.shape):
                yield path + "".join(f"[{i}]" for i in index)
        case spaces.Discrete():
            yield from (f"{path} is {space.start + i}" for i in range(space.n))
        case spaces.MultiDiscrete():
            for index in np.ndindex(space.nvec.shape):
                place = path + "".join(f"[{i}]" for i in index)
                first = np.broadcast_to(space.start, space.nvec.shape)[index]
                yield from (f"{place} is {first + i}" for i in range(space.nvec[index]))
        case _:
            raise SpaceError(
                f"{path} is {' '.join(str(space).split())}, but only arrays of numbers, choices, "
                f"and Dicts and Tuples of them can be learned: wrap the environment so that it "
                f"observes those"
            )
