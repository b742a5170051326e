"""D'Kitty turns on the spot: what is known of its world without learning.

Reward and termination after ROBEL's DKittyOrient (Apache-2.0; facts only). The environment itself
is in `duopoly.world.tasks.dkitty_env`.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from duopoly.types import Episode
from duopoly.world.environments import from_registry
from duopoly.world.task import ActArray, ObsArray, RewardFn, Task
from duopoly.world.tasks._shared import length
from duopoly.world.tasks.catalogue import TaskRow
from duopoly.world.tasks.dkitty_env import (
    DESIRED,
    FACING,
    LAST_ACTION,
    OBS_DIM,
    ROOT_EULER,
    ROOT_POS,
    ROOT_XY,
    SUCCESS_ERROR,
    UPRIGHT,
    UPRIGHT_LIMIT,
    UPRIGHT_WELL,
    angle_error,
)

Vector2 = Float[Array, "2"]


def orient_reward(robel_quirks: bool) -> RewardFn:
    """The reward, after the action, with or without the quirks of ROBEL's code:

        20 (u - 0.9) - 500 [u < 0.9] - 4 e - 4 d + 5 b + 10 [e < 0.087 and u > 0.96].

    u is the cosine of the tilt, e the angle between facing and target (rad), d the distance from
    the start (m) in x and y and, as a quirk, in z; b counts [e < 0.26] and [u > 0.96], as a quirk
    up to one.
    """

    def reward_fn(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> Float[Array, ""]:  # noqa: ARG001
        upright = next_obs[UPRIGHT]
        error = _angle(next_obs[FACING], next_obs[DESIRED])
        near, well = error < 0.26, upright > UPRIGHT_WELL
        small = (near | well) if robel_quirks else near.astype(int) + well.astype(int)
        bonus = 5.0 * small + 10.0 * ((error < SUCCESS_ERROR) & well)
        fall = 500.0 * (upright < UPRIGHT_LIMIT)
        away = length(next_obs[ROOT_POS if robel_quirks else ROOT_XY])
        return 20.0 * (upright - UPRIGHT_LIMIT) - fall - 4.0 * error - 4.0 * away + bonus

    return reward_fn


def orient_terminated(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> Bool[Array, ""]:  # noqa: ARG001
    """Fallen: the cosine of the tilt is below 0.9."""
    return next_obs[UPRIGHT] < UPRIGHT_LIMIT


def orient_complete(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> ObsArray:
    """Puts what is known into a predicted next_obs.

    The last action is the action; tilt and facing follow from the torso's angles, the direction to
    the target from its position, since the target stays where it was.
    """
    upright, facing = _attitude(next_obs[ROOT_EULER])
    to_target = _target(obs) - next_obs[ROOT_XY]
    desired = to_target / length(to_target)
    return next_obs.at[LAST_ACTION.start :].set(
        jnp.concatenate((action, upright[None], facing, desired))
    )


def _attitude(euler: Float[Array, "3"]) -> tuple[Float[Array, ""], Vector2]:
    """Cosine of the tilt, and horizontal part of the body's y-axis; the rotation is Rx Ry Rz."""
    (cx, cy, cz), (sx, sy, sz) = jnp.cos(euler), jnp.sin(euler)
    return cx * cy, jnp.stack((-cy * sz, cx * cz - sx * sy * sz))


def _target(obs: ObsArray) -> Vector2:
    """Where the target stands, in m: the point in direction d from the robot's place p with

        ‖p + s d‖ = 1,   s = -p·d + √((p·d)² + 1 - ‖p‖²).

    Unique while the robot is within 1 m of its start; beyond, the far one of two solutions.
    """
    place, direction = obs[ROOT_XY], obs[DESIRED]
    along = jnp.dot(place, direction)
    square = jnp.square(along) + 1.0 - jnp.dot(place, place)
    return place + (jnp.sqrt(jnp.maximum(square, 1e-12)) - along) * direction


def _angle(first: Vector2, second: Vector2) -> Float[Array, ""]:
    """Angle between two vectors, in [0, π] rad; unlike the arc cosine exact at both ends."""
    across = first[0] * second[1] - first[1] * second[0]
    return jnp.abs(jnp.arctan2(across, jnp.dot(first, second)))


def faces_target(episode: Episode) -> bool:
    """Whether the robot ended upright and within 5 degrees of its target, without a fall."""
    last = episode.next_obs[-1]
    well = bool(last[UPRIGHT] > UPRIGHT_WELL)
    return not episode.terminated and well and angle_error(last) < SUCCESS_ERROR


def orient_task(row: TaskRow, *, robel_quirks: bool = True) -> Task:
    """The task in one of the environment's variants, with or without ROBEL's quirks."""
    options = {"variant": row.variant or "random", "robel_quirks": robel_quirks}
    return Task(
        name=row.name,
        summary=row.summary,
        make=from_registry(row.env_id, options),
        horizon=row.horizon,
        reward_fn=orient_reward(robel_quirks),
        terminated_fn=orient_terminated,
        success_fn=faces_target,
        computed=tuple(range(LAST_ACTION.start, OBS_DIM)),
        compute_fn=orient_complete,
    )
