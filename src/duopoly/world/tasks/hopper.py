"""Gymnasium's Hopper-v5, each action held for two steps.

Reward and termination after Gymnasium's v5 documentation and source; the observation is its 11
components and the mean x-velocity (see `duopoly.world.tasks._forward`).
"""

from typing import Any

import gymnasium as gym
import jax.numpy as jnp
from jaxtyping import Array, Bool

from duopoly.types import Episode
from duopoly.world.task import ActArray, ObsArray, Task
from duopoly.world.tasks import ACTION_REPEATS, SUMMARIES
from duopoly.world.tasks._forward import HoldAction, forward_reward

ALIVE_BONUS = 1.0
CONTROL_COST = 1e-3
NUM_STEPS = 1_000
ACTION_REPEAT = ACTION_REPEATS["Hopper-v5"]


def make_hopper(
    render_mode: str | None = None, *, action_repeat: int = ACTION_REPEAT
) -> gym.Env[Any, Any]:
    """Hopper-v5 with held actions; ``action_repeat`` must divide 1000."""
    env = gym.make("Hopper-v5", render_mode=render_mode, disable_env_checker=True)
    return HoldAction(env, action_repeat, ALIVE_BONUS, CONTROL_COST)


def hopper_terminated(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> Bool[Array, ""]:  # noqa: ARG001
    """Fallen: torso too low or too far tilted, or any state beyond ±100."""
    height, angle = next_obs[0], next_obs[1]
    bounded = jnp.all(jnp.abs(next_obs[1:11]) < 100.0)
    healthy = bounded & jnp.isfinite(height) & (height > 0.7) & (jnp.abs(angle) < 0.2)
    return ~healthy


def hopper_task(action_repeat: int = ACTION_REPEAT) -> Task:
    """The task with each action held for ``action_repeat`` environment steps."""
    return Task(
        name="Hopper-v5",
        summary=SUMMARIES["Hopper-v5"],
        make=lambda render_mode: make_hopper(render_mode, action_repeat=action_repeat),
        horizon=NUM_STEPS // action_repeat,
        action_repeat=action_repeat,
        reward_fn=forward_reward(action_repeat, ALIVE_BONUS, CONTROL_COST, hopper_terminated),
        terminated_fn=hopper_terminated,
        success_fn=_never_fell,
    )


def _never_fell(episode: Episode) -> bool:
    return not episode.terminated


TASK = hopper_task()
