"""Gymnasium's InvertedPendulum-v5: one point per step until the pole falls (v5 documentation)."""

from typing import Any

import gymnasium as gym
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from duopoly.types import Episode
from duopoly.world.task import ActArray, ObsArray, Task
from duopoly.world.tasks import SUMMARIES


def make_inverted_pendulum(render_mode: str | None = None) -> gym.Env[Any, Any]:
    """InvertedPendulum-v5, unchanged."""
    return gym.make("InvertedPendulum-v5", render_mode=render_mode, disable_env_checker=True)


def pendulum_terminated(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> Bool[Array, ""]:  # noqa: ARG001
    """Fallen: the pole leans by more than 0.2 rad."""
    return ~(jnp.all(jnp.isfinite(next_obs)) & (jnp.abs(next_obs[1]) <= 0.2))


def pendulum_reward(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> Float[Array, ""]:
    """1 while the pole stands, 0 on the step of the fall."""
    return jnp.where(pendulum_terminated(obs, action, next_obs), 0.0, 1.0)


def _never_fell(episode: Episode) -> bool:
    return not episode.terminated


TASK = Task(
    name="InvertedPendulum-v5",
    summary=SUMMARIES["InvertedPendulum-v5"],
    make=make_inverted_pendulum,
    horizon=1_000,
    reward_fn=pendulum_reward,
    terminated_fn=pendulum_terminated,
    success_fn=_never_fell,
)
