"""Robots paid for running forward: actions held for several steps, and an exact reward.

Gymnasium pays the finite difference of the position, (x' - x) / dt, which the observation lacks.
Appending the environment's own x-velocity to the observation makes the reward a function of the
transition.
"""

import dataclasses
from typing import Any

import gymnasium as gym
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from duopoly.world.environments import ENV_STEPS, RepeatAction
from duopoly.world.task import ActArray, ObsArray, RewardFn, TerminatedFn


@dataclasses.dataclass(frozen=True)
class ForwardPay:
    """What one environment step earns, in points:

        velocity_weight · v + alive_bonus · [healthy] - control_cost · |a|²,

    v the step's x-velocity in m/s, a the action in the environment's units.
    """

    control_cost: float
    alive_bonus: float = 0.0
    velocity_weight: float = 1.0

    def free_velocity(self, action: np.ndarray) -> float:
        """The velocity at which a healthy step would earn nothing, in m/s.

        It solves velocity_weight · v + alive_bonus - control_cost · |a|² = 0.
        """
        cost = self.control_cost * float(action @ action)
        return (cost - self.alive_bonus) / self.velocity_weight


class ObserveVelocity(gym.Wrapper[Any, Any, Any, Any]):
    """Holds each action for k environment steps and appends their mean x-velocity w, in m/s.

    The reward of an action is the sum over its steps, each of which earns as `ForwardPay` says. A
    fall ends the action early. A step that it cut off earned nothing, so it enters the mean with
    the velocity that would have: `ForwardPay.free_velocity`. Then `forward_reward` is exact for
    every transition.

    ``info[ENV_STEPS]`` counts the steps really made. The environment's own time limit must be a
    multiple of k steps.
    """

    def __init__(self, env: gym.Env[Any, Any], num_steps: int, pay: ForwardPay) -> None:
        velocity = _SumVelocity(env)
        super().__init__(RepeatAction(velocity, num_steps))
        self._velocity = velocity
        self._num_steps = num_steps
        self._pay = pay
        inner = env.observation_space
        assert isinstance(inner, gym.spaces.Box)
        self.observation_space = gym.spaces.Box(
            low=np.append(inner.low, -np.inf), high=np.append(inner.high, np.inf), dtype=np.float64
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        obs, info = self.env.reset(seed=seed, options=options)
        return np.append(obs, 0.0), info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._velocity.total = 0.0
        obs, reward, terminated, truncated, info = self.env.step(action)
        total = self._velocity.total
        if num_cut := self._num_steps - info[ENV_STEPS]:
            total += num_cut * self._pay.free_velocity(action)
        obs = np.append(obs, total / self._num_steps)
        return obs, float(reward), bool(terminated), truncated, info


class _SumVelocity(gym.Wrapper[Any, Any, Any, Any]):
    """Adds up the x-velocities of steps, in m/s, until it is set back."""

    total = 0.0

    def step(self, action: np.ndarray) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        outcome = self.env.step(action)
        self.total += outcome[-1]["x_velocity"]
        return outcome


class WholeVelocities(gym.Wrapper[Any, Any, Any, Any]):
    """Shows the joints' velocities as the simulator has them.

    Gymnasium's hopper and walker show them cut to ±10, beyond which what follows cannot be
    foreseen from what is seen: a running walker is there most of the time.
    """

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        obs, info = self.env.reset(seed=seed, options=options)
        return self._whole(obs), info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        return self._whole(obs), float(reward), terminated, truncated, info

    def _whole(self, obs: np.ndarray) -> np.ndarray:
        data: Any = getattr(self.env.unwrapped, "data")  # noqa: B009
        velocities = data.qvel
        return np.concatenate([obs[: -len(velocities)], velocities])


def forward_reward(num_steps: int, pay: ForwardPay, terminated_fn: TerminatedFn) -> RewardFn:
    """The reward of one action under `ObserveVelocity`, with w the last component of next_obs:

        k · (velocity_weight · w + h - control_cost · |a|²),

        h = alive_bonus · (1 if healthy else (k - 1) / k).

    With k = 1 this is Gymnasium's v5 rule, in which the step of the fall pays no alive bonus.
    """

    def reward_fn(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> Float[Array, ""]:
        share = jnp.where(terminated_fn(obs, action, next_obs), (num_steps - 1) / num_steps, 1.0)
        cost = pay.control_cost * jnp.sum(jnp.square(action))
        return num_steps * (pay.velocity_weight * next_obs[-1] + pay.alive_bonus * share - cost)

    return reward_fn
