"""Small environments whose answers are known, each written twice: for Gymnasium and for JAX."""

from typing import Any

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from duopoly.settings import Settings, override
from duopoly.types import Prediction
from duopoly.world.task import Task

LIMIT = 2.0
HORIZON = 20


class PointEnv(gym.Env):
    """A point on a plane, pushed by the action; it falls off at |x_0| > 2.

    x' = x + 0.2 a, reward −‖x'‖², and the last component is a goal that never changes.
    """

    def __init__(self) -> None:
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)
        self.action_space = gym.spaces.Box(-2.0, 2.0, (2,), np.float32)
        self._x = np.zeros(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self._x = self.np_random.uniform(-1.0, 1.0, 2)
        return self._observe(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._x = self._x + 0.2 * np.asarray(action, np.float64)
        fell = bool(abs(self._x[0]) > LIMIT)
        return self._observe(), -float(self._x @ self._x), fell, False, {}

    def _observe(self) -> np.ndarray:
        return np.append(self._x, 3.0)


def point_reward(obs: Array, action: Array, next_obs: Array) -> Array:  # noqa: ARG001
    return -jnp.sum(next_obs[:2] ** 2)


def point_terminated(obs: Array, action: Array, next_obs: Array) -> Array:  # noqa: ARG001
    return jnp.abs(next_obs[0]) > LIMIT


POINT = Task(
    name="Point",
    summary="a point is pushed to the origin",
    make=lambda render_mode: PointEnv(),  # noqa: ARG005
    horizon=HORIZON,
    reward_fn=point_reward,
    terminated_fn=point_terminated,
    success_fn=lambda episode: bool(np.sum(episode.next_obs[-1, :2] ** 2) < 0.04),
    constant=(2,),
)


class PerfectPoint(eqx.Module):
    """The same world in JAX: a model without error."""

    num_members: int = eqx.field(static=True)

    def __call__(
        self, key: Key[Array, ""], obs: Float[Array, "E B obs"], action: Float[Array, "E B act"]
    ) -> Prediction:
        del key

        def one(obs: Array, action: Array) -> tuple[Array, Array, Array]:
            moved = obs[:2] + 0.2 * 2.0 * jnp.clip(action, -1.0, 1.0)
            next_obs = jnp.append(moved, obs[2])
            reward = point_reward(obs, action, next_obs)
            return next_obs, reward, point_terminated(obs, action, next_obs)

        next_obs, reward, terminated = jax.vmap(jax.vmap(one))(obs, action)
        return Prediction(next_obs, reward, terminated, jnp.zeros(terminated.shape, bool))


TINY = override(
    Settings(),
    {
        "collection.initial_steps": 200,
        "collection.steps_per_round": 60,
        "model.num_members": 2,
        "model.hidden": (16,),
        "model.learning_rate": 1e-2,
        "model.batch_size": 32,
        "model.epochs.conservative": 2,
        "model.epochs.convergence": 5,
        "model.window": 150,
        "model.capacity": 500,
        "imagination.num_rollouts": 8,
        "imagination.horizon": HORIZON,
        "policy.hidden": (8,),
        "policy.steps.conservative": 2,
        "policy.steps.convergence": 3,
        "policy.discount": 0.95,
        "policy.fisher_samples": 200,
        "policy.cg_iterations": 5,
        "policy.value.hidden": (8,),
        "policy.value.batch_size": 64,
        "policy.value.epochs": 1,
        "evaluation.num_episodes": 2,
    },
)
"""Settings that play a round of any schedule on the point in a fraction of a second."""
