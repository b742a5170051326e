"""Gymnasium's robots that are paid for running forward, as one table of what sets them apart.

Constants, healthy states and rewards after the v5 documentation and source. Every observation is
Gymnasium's own and the mean x-velocity (see `duopoly.world.tasks._forward`), which for the humanoid
is that of its centre of mass. Ant and humanoid observe positions and velocities only and pay no
contact cost: Gym's v2 and v3 on MuJoCo 2 paid none either, for those forces stayed at zero there.
Hopper's and walker's variant ``unclipped`` observes velocities that Gymnasium cuts to ±10.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Final

import gymnasium as gym
import jax.numpy as jnp
from jaxtyping import Array, Bool

from duopoly.world.environments import from_registry
from duopoly.world.task import ActArray, ObsArray, Task, TaskError, TerminatedFn
from duopoly.world.tasks._forward import (
    ForwardPay,
    ObserveVelocity,
    WholeVelocities,
    forward_reward,
)
from duopoly.world.tasks._shared import never_fell, never_terminated
from duopoly.world.tasks.catalogue import TaskRow


def hopper_terminated(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> Bool[Array, ""]:  # noqa: ARG001
    """Fallen: torso below 0.7 m or tilted by 0.2 rad, or any state beyond ±100."""
    height, angle = next_obs[0], next_obs[1]
    bounded = jnp.all(jnp.abs(next_obs[1:11]) < 100.0)
    return ~(bounded & jnp.isfinite(height) & (height > 0.7) & (jnp.abs(angle) < 0.2))


def walker_terminated(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> Bool[Array, ""]:  # noqa: ARG001
    """Fallen: torso not between 0.8 and 2 m, or tilted by 1 rad."""
    height, angle = next_obs[0], next_obs[1]
    return ~((height > 0.8) & (height < 2.0) & (jnp.abs(angle) < 1.0))


def ant_terminated(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> Bool[Array, ""]:  # noqa: ARG001
    """Fallen or in the air: torso not between 0.2 and 1 m, or any state not finite."""
    height = next_obs[0]
    return ~(jnp.all(jnp.isfinite(next_obs)) & (height >= 0.2) & (height <= 1.0))


def humanoid_terminated(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> Bool[Array, ""]:  # noqa: ARG001
    """Fallen: torso not between 1 and 2 m."""
    height = next_obs[0]
    return ~((height > 1.0) & (height < 2.0))


@dataclasses.dataclass(frozen=True)
class Runner:
    """What sets one robot apart from the others."""

    pay: ForwardPay
    terminated_fn: TerminatedFn = never_terminated
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Arguments to Gymnasium's environment."""
    angles: tuple[int, ...] = ()
    """Observed angles of joints without limits that no fall ends."""


RUNNERS: Final[Mapping[str, Runner]] = {
    "Hopper-v5": Runner(ForwardPay(1e-3, alive_bonus=1.0), hopper_terminated),
    "HalfCheetah-v5": Runner(ForwardPay(0.1), angles=(1,)),
    "Walker2d-v5": Runner(ForwardPay(1e-3, alive_bonus=1.0), walker_terminated),
    "Ant-v5": Runner(
        ForwardPay(0.5, alive_bonus=1.0),
        ant_terminated,
        {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0.0},
    ),
    "Humanoid-v5": Runner(
        ForwardPay(0.1, alive_bonus=5.0, velocity_weight=1.25),
        humanoid_terminated,
        {
            "include_cinert_in_observation": False,
            "include_cvel_in_observation": False,
            "include_qfrc_actuator_in_observation": False,
            "include_cfrc_ext_in_observation": False,
            "contact_cost_weight": 0.0,
        },
    ),
    "Swimmer-v5": Runner(ForwardPay(1e-4), angles=(0,)),
}


def runner_task(row: TaskRow, action_repeat: int | None = None) -> Task:
    """The task of a robot of `RUNNERS`, each action held for some environment steps.

    Args:
        row: that of the robot.
        action_repeat: must divide the steps of an episode; by default the row's own.

    Raises:
        TaskError: another ``action_repeat``.
    """
    repeat = row.action_repeat if action_repeat is None else action_repeat
    if repeat < 1 or row.env_steps % repeat:
        raise TaskError(
            f"{row.name}: action_repeat = {repeat}, must divide the {row.env_steps} steps of an "
            f"episode: choose 1, 2, 4 or 5"
        )
    runner = RUNNERS[row.listed_name]
    return Task(
        name=row.name,
        summary=row.summary,
        make=functools.partial(_make, row, repeat),
        horizon=row.env_steps // repeat,
        action_repeat=repeat,
        reward_fn=forward_reward(repeat, runner.pay, runner.terminated_fn),
        terminated_fn=runner.terminated_fn,
        success_fn=None if runner.terminated_fn is never_terminated else never_fell,
        angles=runner.angles,
        hold_fn=functools.partial(runner_task, row),
    )


def _make(row: TaskRow, repeat: int, render_mode: str | None) -> gym.Env[Any, Any]:
    runner = RUNNERS[row.listed_name]
    env = from_registry(row.listed_name, runner.options)(render_mode)
    if row.variant == "unclipped":
        env = WholeVelocities(env)
    return ObserveVelocity(env, repeat, runner.pay)
