"""Gymnasium's inverted pendulums: a cart that balances one pole, or two on top of each other.

Rewards and terminations after the v5 documentation and source.
"""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo's compiled modules carry no types.)

import functools
from typing import Any

import gymnasium as gym
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from duopoly.world.environments import from_registry
from duopoly.world.task import ActArray, ObsArray, Task
from duopoly.world.tasks._shared import never_fell
from duopoly.world.tasks.catalogue import TaskRow

POLE = 0.6
"""Length of each of the two poles, in m."""
ALIVE_BONUS = 10.0
VELOCITIES = slice(5, 8)
TIP = slice(9, 11)
"""Tip of the upper pole: x and height, in m."""


def pendulum_terminated(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> Bool[Array, ""]:  # noqa: ARG001
    """Fallen: the pole leans by more than 0.2 rad."""
    return ~(jnp.all(jnp.isfinite(next_obs)) & (jnp.abs(next_obs[1]) <= 0.2))


def pendulum_reward(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> Float[Array, ""]:
    """1 while the pole stands, 0 on the step of the fall."""
    return jnp.where(pendulum_terminated(obs, action, next_obs), 0.0, 1.0)


class ObserveTip(gym.ObservationWrapper[Any, Any, Any]):
    """InvertedDoublePendulum-v5 with all that its reward depends on in sight.

    Observation [11]: cart (m), sines of the two joint angles, their cosines, the three velocities
    (m/s, rad/s) without Gymnasium's clipping to ±10, constraint force on the cart (clipped), and
    the tip (x and height, m) as the simulator leaves it after a step, which is what is paid for:
    it departs by up to about 0.1 mm from where the angles place it.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (11,), np.float64)
        data = env.unwrapped.data
        self._velocities, self._tip = data.qvel, data.site("tip").xpos

    def observation(self, observation: np.ndarray) -> np.ndarray:
        obs = np.append(observation, self._tip[::2])
        obs[VELOCITIES] = self._velocities
        return obs


def double_pendulum_terminated(
    obs: ObsArray,  # noqa: ARG001
    action: ActArray,  # noqa: ARG001
    next_obs: ObsArray,
) -> Bool[Array, ""]:
    """Fallen: the tip is no higher than 1 m."""
    return ~(next_obs[TIP.start + 1] > 1.0)


def double_pendulum_reward(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> Float[Array, ""]:
    """10 · [stands] - 0.01 x² - (y - 2)² - 0.001 ω₁² - 0.005 ω₂², the tip at (x, y)."""
    x, y = next_obs[TIP]
    _, first, second = next_obs[VELOCITIES]
    bonus = jnp.where(double_pendulum_terminated(obs, action, next_obs), 0.0, ALIVE_BONUS)
    return bonus - 0.01 * x**2 - (y - 2.0) ** 2 - 1e-3 * first**2 - 5e-3 * second**2


def place_tip(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> ObsArray:  # noqa: ARG001
    """Forward kinematics: sines and cosines brought onto the unit circle, and the tip from them.

    The second angle is counted from the first pole's direction.
    """
    cart, (sin, cos) = next_obs[0], next_obs[1:5].reshape(2, 2)
    size = jnp.sqrt(jnp.square(sin) + jnp.square(cos) + 1e-12)
    sin, cos = sin / size, cos / size
    x = cart + POLE * (sin[0] + sin[0] * cos[1] + cos[0] * sin[1])
    height = POLE * (cos[0] + cos[0] * cos[1] - sin[0] * sin[1])
    return next_obs.at[1:3].set(sin).at[3:5].set(cos).at[TIP].set(jnp.stack([x, height]))


def pendulum_task(row: TaskRow) -> Task:
    """The single pendulum, unchanged."""
    return Task(
        name=row.name,
        summary=row.summary,
        make=from_registry(row.name),
        horizon=row.horizon,
        reward_fn=pendulum_reward,
        terminated_fn=pendulum_terminated,
        success_fn=never_fell,
    )


def double_pendulum_task(row: TaskRow) -> Task:
    """The double pendulum with the observation of `ObserveTip`."""
    return Task(
        name=row.name,
        summary=row.summary,
        make=functools.partial(_make_double, row.name),
        horizon=row.horizon,
        reward_fn=double_pendulum_reward,
        terminated_fn=double_pendulum_terminated,
        success_fn=never_fell,
        computed=tuple(range(TIP.start, TIP.stop)),
        compute_fn=place_tip,
    )


def _make_double(env_id: str, render_mode: str | None) -> gym.Env[Any, Any]:
    return ObserveTip(from_registry(env_id)(render_mode))
