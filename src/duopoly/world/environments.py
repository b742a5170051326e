"""Environments as tasks need them: built by Gymnasium, and with actions that are held."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Final

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from duopoly.world.perturb import EnvFactory

ENV_STEPS: Final = "duopoly/env_steps"
"""Under this name an action's ``info`` tells for how many environment steps it was held.

Many environments count something else under shorter names.
"""


DEFAULT_HORIZON: Final = 1_000
"""Actions per episode of an environment that names no limit."""


def time_limit(env_id: str) -> int:
    """Actions per episode of an environment in Gymnasium's registry."""
    return gym.registry[env_id].max_episode_steps or DEFAULT_HORIZON


def from_registry(env: str | EnvSpec, options: Mapping[str, Any] | None = None) -> EnvFactory:
    """Returns what builds an environment by its id or its record, with these options."""
    return _FromRegistry(env, dict(options or {}))


@dataclasses.dataclass(frozen=True)
class _FromRegistry:
    """Builds an environment of the registry; a value, so that two can be told to be the same."""

    env: str | EnvSpec
    options: Mapping[str, Any]

    def __call__(self, render_mode: str | None) -> gym.Env[Any, Any]:
        # Environments that cannot draw themselves need not take a render mode.
        drawing = {} if render_mode is None else {"render_mode": render_mode}
        return gym.make(self.env, disable_env_checker=True, **drawing, **self.options)


def repeating(make: EnvFactory, num_steps: int) -> EnvFactory:
    """Returns what builds the same environment with each action held for some steps."""
    return functools.partial(_make_repeating, make, num_steps)


def _make_repeating(make: EnvFactory, num_steps: int, render_mode: str | None) -> gym.Env[Any, Any]:
    return RepeatAction(make(render_mode), num_steps)


class RepeatAction(gym.Wrapper[Any, Any, Any, Any]):
    """Holds each action for k environment steps and pays the sum of their rewards.

    The end of the episode cuts an action short; ``info[ENV_STEPS]`` counts the steps made.
    """

    def __init__(self, env: gym.Env[Any, Any], num_steps: int) -> None:
        super().__init__(env)
        self._num_steps = num_steps

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        # A copy for each step: an environment may change the array that it is given.
        obs, reward, terminated, truncated, info = self.env.step(np.array(action))
        total, num_made = float(reward), 1
        while num_made < self._num_steps and not (terminated or truncated):
            obs, reward, terminated, truncated, info = self.env.step(np.array(action))
            total += float(reward)
            num_made += 1
        return obs, total, terminated, truncated, {**info, ENV_STEPS: num_made}
