"""D'Claw: three fingers of three joints each turn a valve to a target angle.

Robot, reward and reset follow ROBEL's DClawTurn (Apache-2.0; facts only, the model file is our
own). The observation also holds the velocities, which ROBEL's default one lacks: the reward pays
for those of the fingers, so it is an exact function of a transition here.
"""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo's compiled modules carry no types.)

import math
from pathlib import Path
from typing import Any

import gymnasium as gym
import jax.numpy as jnp
import mujoco
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from jaxtyping import Array, Float

from duopoly.types import Episode
from duopoly.world.environments import from_registry
from duopoly.world.task import ActArray, ObsArray, Task
from duopoly.world.tasks._environment import render_metadata
from duopoly.world.tasks._robel import (
    DT,
    FRAME_SKIP,
    NOISE,
    Nominal,
    PositionControl,
    RandomPhysics,
    check_variant,
    draw_angles,
    read_angles,
    wrap,
)
from duopoly.world.tasks._shared import length, never_terminated
from duopoly.world.tasks.catalogue import TaskRow

MODEL_FILE = Path(__file__).parent / "assets" / "dclaw_turn.xml"
NUM_JOINTS = 9
POSE = np.array([0.0, -math.pi / 3, math.pi / 3] * 3)
"""Joint angles at reset, which the reward prefers ever after, in rad."""
MAX_ANGLE = 6.28
"""Limit of the valve's hinge to either side, in rad."""
SUCCESS_ERROR = 0.1
"""In rad."""

QPOS, QVEL = slice(0, 9), slice(9, 18)
JOINTS = slice(0, NUM_JOINTS)
"""The fingers' joints among MuJoCo's positions; the valve's hinge comes last."""
COS, SIN = 18, 19
LAST_ACTION = slice(21, 30)
TARGET_ERROR = 30

_CONTROL = PositionControl(
    centre=np.zeros(NUM_JOINTS),
    half_range=np.array([0.48, math.pi / 3, math.pi / 2] * 3),
    max_speed=2.0 * math.pi / 3.0,
)
_PHYSICS = RandomPhysics(
    damping=(0.005, 0.1), friction_loss=(0.001, 0.005), gain=(1.0, 3.0), joints_alike=False
)
_MOUNT_SHIFT = 0.01


class DClawTurnEnv(MujocoEnv):
    """D'Claw as a Gymnasium environment.

    Action [9]: joint positions asked for, ±1 spanning ±(0.48, π/3, π/2) rad of each finger; a
    joint is asked to turn by no more than 2π/3 rad/s.
    Observation [31]: joint angles (9, rad) and velocities (9, rad/s), cosine and sine of the
    valve's angle, its velocity (rad/s), last action (9), target minus valve (rad, in [-π, π)).

    Variants: in ``fixed`` the valve turns from 0 to π; in ``random`` both angles are drawn from
    ±π/3 around these; in ``random_dynamics`` also joint damping and friction, gain, contact
    friction and the place of the mount (±1 cm), and all observed angles and finger velocities
    are noisy. The reward is that of the observation, noisy or not.
    """

    metadata = render_metadata(DT)

    def __init__(
        self, render_mode: str | None = None, variant: str = "random", **render_options: Any
    ) -> None:
        check_variant("DClawTurn", variant)
        space = gym.spaces.Box(-np.inf, np.inf, shape=(TARGET_ERROR + 1,), dtype=np.float64)
        super().__init__(
            str(MODEL_FILE),
            FRAME_SKIP,
            space,
            render_mode=render_mode,
            **{"camera_name": "view", **render_options},
        )
        self.action_space = gym.spaces.Box(-1.0, 1.0, shape=(NUM_JOINTS,), dtype=np.float32)
        self._variant = variant
        self._mount = self.model.body("mount").id
        self._nominal = Nominal(self.model)
        self._given: dict[str, float] = {}
        self._target = math.pi
        self._last_action = np.zeros(NUM_JOINTS)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Fingers bent and at rest, valve at rest; angles and physics as the variant has them.

        ``options={"object_angle": …, "target_angle": …}`` (rad, either or both) sets the valve or
        its target instead.

        Raises:
            TaskError: an unknown option, or an angle that is no number within the hinge's ±6.28.
        """
        limits = {"object_angle": MAX_ANGLE, "target_angle": MAX_ANGLE}
        self._given = read_angles("DClawTurn", options, limits)
        obs, _ = super().reset(seed=seed)
        return obs, _info(obs)

    def reset_model(self) -> np.ndarray:
        """Draws the episode; the simulation has just been reset."""
        valve, target = draw_angles(self._variant, self.np_random)
        if self._variant == "random_dynamics":
            self._draw_physics()
        self._last_action[:] = 0.0
        self._place(**{"object_angle": valve, "target_angle": target, **self._given})
        return self._observe()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        self._last_action[:] = np.clip(action, -1.0, 1.0)
        _CONTROL.act(self.model, self.data, self._last_action, JOINTS)
        obs = self._observe()
        if self.render_mode == "human":
            self.render()
        return obs, _reward(obs), False, False, _info(obs)

    def _place(self, object_angle: float, target_angle: float) -> None:
        self._target = wrap(target_angle)
        self.data.qpos[:] = (*POSE, object_angle)
        half = target_angle / 2
        self.data.mocap_quat[0] = math.cos(half), 0.0, 0.0, math.sin(half)
        mujoco.mj_forward(self.model, self.data)

    def _draw_physics(self) -> None:
        self._nominal.restore(self.model)
        _PHYSICS.draw(self.model, slice(0, NUM_JOINTS + 1), self.np_random)
        self.model.body_pos[self._mount] += self.np_random.uniform(-_MOUNT_SHIFT, _MOUNT_SHIFT, 3)

    def _observe(self) -> np.ndarray:
        *joints, valve = self.data.qpos.tolist()
        *speeds, valve_speed = self.data.qvel.tolist()
        if self._variant == "random_dynamics":
            noise, speed_noise = _CONTROL.noise(self.np_random)
            joints, speeds = joints + noise, speeds + speed_noise
            valve += NOISE * math.pi * self.np_random.uniform(-1.0, 1.0)
        rest = (math.cos(valve), math.sin(valve), valve_speed)
        error = wrap(self._target - valve)
        return np.array((*joints, *speeds, *rest, *self._last_action, error))


def _info(obs: np.ndarray) -> dict[str, Any]:
    error = float(obs[TARGET_ERROR])
    return {"target_error": error, "success": abs(error) < SUCCESS_ERROR}


def _reward(obs: np.ndarray) -> float:
    error = abs(float(obs[TARGET_ERROR]))
    away, speeds = obs[QPOS] - POSE, obs[QVEL]
    fast = speeds[np.abs(speeds) >= 0.5]
    cost = 5.0 * error + math.sqrt(away @ away) + math.sqrt(fast @ fast)
    return 10.0 * (error < 0.25) + 50.0 * (error < 0.1) - cost


def turn_reward(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> Float[Array, ""]:  # noqa: ARG001
    """-5 |e| - ‖q - q₀‖ - ‖v‖ + 10 [|e| < 0.25] + 50 [|e| < 0.1], after the action.

    e is the target error (rad), q the joint angles (rad), q₀ those at reset and v the velocities
    (rad/s) of the joints that turn at 0.5 rad/s or faster.
    """
    error = jnp.abs(next_obs[TARGET_ERROR])
    away, speeds = next_obs[QPOS] - jnp.asarray(POSE, next_obs.dtype), next_obs[QVEL]
    fast = jnp.where(jnp.abs(speeds) >= 0.5, speeds, 0.0)
    bonus = 10.0 * (error < 0.25) + 50.0 * (error < 0.1)
    return bonus - 5.0 * error - length(away) - length(fast)


def turn_complete(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> ObsArray:
    """Puts what is known into a predicted next_obs.

    The last action is the action; cosine and sine lie on the unit circle; the target, which is the
    valve's angle plus the target error, stays where it was.
    """
    target = jnp.arctan2(obs[SIN], obs[COS]) + obs[TARGET_ERROR]
    cos_sin = next_obs[COS : SIN + 1] / length(next_obs[COS : SIN + 1])
    error = target - jnp.arctan2(cos_sin[1], cos_sin[0])
    return (
        next_obs.at[COS : SIN + 1]
        .set(cos_sin)
        .at[LAST_ACTION]
        .set(action)
        .at[TARGET_ERROR]
        .set(wrap(error))
    )


def turned(episode: Episode) -> bool:
    """Whether the valve ended within 0.1 rad of its target."""
    return bool(abs(episode.next_obs[-1, TARGET_ERROR]) < SUCCESS_ERROR)


def turn_task(row: TaskRow) -> Task:
    """The task in one of the environment's variants."""
    return Task(
        name=row.name,
        summary=row.summary,
        make=from_registry(row.env_id, {"variant": row.variant or "random"}),
        horizon=row.horizon,
        reward_fn=turn_reward,
        terminated_fn=never_terminated,
        success_fn=turned,
        computed=(*range(LAST_ACTION.start, LAST_ACTION.stop), TARGET_ERROR),
        compute_fn=turn_complete,
    )
