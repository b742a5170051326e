"""Gymnasium's arms, unchanged: one reaches for a target, the other pushes a cylinder to its goal.

Rewards after the v5 documentation and source. Fingertips are observed as MuJoCo leaves them, up to
6 mm behind the joint angles, so they are learned and not computed from those.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from duopoly.world.environments import from_registry
from duopoly.world.task import ActArray, ObsArray, Task
from duopoly.world.tasks._shared import length, never_terminated
from duopoly.world.tasks.catalogue import TaskRow


def reacher_reward(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> Float[Array, ""]:  # noqa: ARG001
    """-‖f - g‖ - |a|², with f - g the way from target to fingertip after the action, in m."""
    return -length(next_obs[8:10]) - jnp.sum(jnp.square(action))


def pusher_reward(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> Float[Array, ""]:  # noqa: ARG001
    """-½ ‖c - f‖ - ‖c - g‖ - 0.1 |a|²: cylinder c, fingertip f, goal g after the action, in m."""
    fingertip, cylinder, goal = next_obs[14:23].reshape(3, 3)
    near, far = length(cylinder - fingertip), length(cylinder - goal)
    return -0.5 * near - far - 0.1 * jnp.sum(jnp.square(action))


def reacher_task(row: TaskRow) -> Task:
    """The arm that reaches."""
    return Task(
        name=row.name,
        summary=row.summary,
        make=from_registry(row.name),
        horizon=row.horizon,
        reward_fn=reacher_reward,
        terminated_fn=never_terminated,
        constant=(4, 5),
    )


def pusher_task(row: TaskRow) -> Task:
    """The arm that pushes."""
    return Task(
        name=row.name,
        summary=row.summary,
        make=from_registry(row.name),
        horizon=row.horizon,
        reward_fn=pusher_reward,
        terminated_fn=never_terminated,
        constant=(19, 20, 21, 22),  # the cylinder's height, and the goal
    )
