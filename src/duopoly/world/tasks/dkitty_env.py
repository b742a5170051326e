"""D'Kitty: a quadruped of twelve joints turns on the spot to face a target.

Robot, reward and reset follow ROBEL's DKittyOrient (Apache-2.0; facts only, the model file is our
own), with two quirks of its code that can be switched off (see `DKittyOrientEnv`).
"""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo's compiled modules carry no types.)

import math
from pathlib import Path
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv

from duopoly.world.tasks._environment import render_metadata
from duopoly.world.tasks._robel import (
    DT,
    FRAME_SKIP,
    Nominal,
    PositionControl,
    RandomPhysics,
    check_variant,
    draw_angles,
    read_angles,
)

ASSETS = Path(__file__).parent / "assets"
NUM_JOINTS = 12
MAX_YAW = 3.14
"""Limit of the hinge about z to either side, in rad."""
UPRIGHT_LIMIT = 0.9
"""Cosine of the tilt below which the robot has fallen."""
UPRIGHT_WELL = 0.96
"""Cosine of the tilt above which bonuses are paid."""
SUCCESS_ERROR = 0.087
"""In rad; 5 degrees."""

ROOT_XY, ROOT_POS, ROOT_EULER, QPOS = slice(0, 2), slice(0, 3), slice(3, 6), slice(6, 18)
QVEL, LAST_ACTION = slice(24, 36), slice(36, 48)
UPRIGHT, FACING, DESIRED = 48, slice(49, 51), slice(51, 53)
OBS_DIM = 53
JOINTS = slice(6, 18)
"""The legs' joints among MuJoCo's positions, behind three slides and three hinges of the torso."""

_HIP_CENTRE = 0.1105
_CONTROL = PositionControl(
    centre=np.concatenate([(side * _HIP_CENTRE, math.pi / 4, -1.0) for side in (-1, 1, 1, -1)]),
    half_range=np.array([0.3895, math.pi / 4, 1.0] * 4),
    max_speed=math.pi,
)
_PHYSICS = RandomPhysics(
    damping=(0.1, 0.2), friction_loss=(0.001, 0.005), gain=(2.8, 3.2), joints_alike=True
)
_TOTAL_MASS = (1.6, 2.0)
_TERRAIN_HEIGHT = (0.0, 0.05)


class DKittyOrientEnv(MujocoEnv):
    """D'Kitty as a Gymnasium environment.

    Action [12]: joint positions asked for, ±1 spanning the range of hip, upper and lower joint of
    each leg; a joint is asked to turn by no more than π rad/s. Action 0 is a crouch.
    Observation [53]: position of the torso relative to its start (3, m) and its x-, y- and z-angle
    (3, rad), joint angles (12, rad), their velocities in the same order (18, per s), last action
    (12), cosine of the tilt, horizontal parts of the forward axis (2) and of the unit vector to
    the target (2). The target stands 1 m from the start.

    Variants: in ``fixed`` the robot starts at angle 0 with the target at π; in ``random`` both are
    drawn from ±π/3 around these; in ``random_dynamics`` also joint damping and friction, gain,
    contact friction, total mass and a rough ground, and the observed joints are noisy.

    ``robel_quirks``: as in ROBEL's code, the distance from the centre also counts the height lost,
    and two small bonuses earned at once are paid once. Off: x and y only, and both are paid.

    An episode ends in a fall, at a cosine of the tilt below 0.9.
    """

    metadata = render_metadata(DT)

    def __init__(
        self,
        render_mode: str | None = None,
        variant: str = "random",
        robel_quirks: bool = True,
        **render_options: Any,
    ) -> None:
        check_variant("DKittyOrient", variant)
        self._is_rough = variant == "random_dynamics"
        model_file = "dkitty_terrain.xml" if self._is_rough else "dkitty_orient.xml"
        space = gym.spaces.Box(-np.inf, np.inf, shape=(OBS_DIM,), dtype=np.float64)
        super().__init__(
            str(ASSETS / model_file),
            FRAME_SKIP,
            space,
            render_mode=render_mode,
            **{"camera_name": "view", **render_options},
        )
        self.action_space = gym.spaces.Box(-1.0, 1.0, shape=(NUM_JOINTS,), dtype=np.float32)
        self._variant = variant
        self._robel_quirks = robel_quirks
        self._nominal = Nominal(self.model)
        self._given: dict[str, float] = {}
        self._target = (0.0, -1.0)
        self._last_action = np.zeros(NUM_JOINTS)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Standing on straight legs, at rest; angles and physics as the variant has them.

        ``options={"initial_angle": …, "target_angle": …}`` (rad from the y-axis, either or both)
        sets the robot's start or its target instead.

        Raises:
            TaskError: an unknown option, or an angle that is no number in ±3.14 or, for the
                target, ±6.28.
        """
        limits = {"initial_angle": MAX_YAW, "target_angle": 2.0 * MAX_YAW}
        self._given = read_angles("DKittyOrient", options, limits)
        obs, _ = super().reset(seed=seed)
        return obs, _info(obs, angle_error(obs))

    def reset_model(self) -> np.ndarray:
        """Draws the episode; the simulation has just been reset."""
        yaw, goal = draw_angles(self._variant, self.np_random)
        if self._is_rough:
            self._draw_physics()
        self._last_action[:] = 0.0
        self._place(**{"initial_angle": yaw, "target_angle": goal, **self._given})
        return self._observe()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        self._last_action[:] = np.clip(action, -1.0, 1.0)
        _CONTROL.act(self.model, self.data, self._last_action, JOINTS)
        obs = self._observe()
        if self.render_mode == "human":
            self.render()
        error = angle_error(obs)
        reward = _reward(obs, error, self._robel_quirks)
        return obs, reward, bool(obs[UPRIGHT] < UPRIGHT_LIMIT), False, _info(obs, error)

    def _place(self, initial_angle: float, target_angle: float) -> None:
        # The robot faces along y at angle 0.
        self._target = -math.sin(target_angle), math.cos(target_angle)
        self.data.mocap_pos[0] = *self._target, 0.0
        self.data.qpos[5] = initial_angle
        mujoco.mj_forward(self.model, self.data)

    def _draw_physics(self) -> None:
        model, rng = self.model, self.np_random
        self._nominal.restore(model)
        _PHYSICS.draw(model, slice(6, 6 + NUM_JOINTS), rng)
        mujoco.mj_setTotalmass(model, rng.uniform(*_TOTAL_MASS))
        model.hfield_data[:] = rng.uniform(*_TERRAIN_HEIGHT, model.hfield_data.shape)

    def _observe(self) -> np.ndarray:
        data = self.data
        x, y, _, rx, ry, rz = data.qpos[:6].tolist()
        upright = math.cos(rx) * math.cos(ry)
        to_x, to_y = self._target[0] - x, self._target[1] - y
        distance = max(math.hypot(to_x, to_y), 1e-8)
        directions = (*_facing(rx, ry, rz), to_x / distance, to_y / distance)
        obs = np.concatenate(
            (data.qpos, data.qvel, self._last_action, (upright, *directions)), dtype=np.float64
        )
        if self._is_rough:
            noise, speed_noise = _CONTROL.noise(self.np_random)
            obs[QPOS] += noise
            obs[QVEL] += speed_noise
        return obs


def _facing(rx: float, ry: float, rz: float) -> tuple[float, float]:
    """Horizontal part of the body's y-axis, its rotation being Rx Ry Rz."""
    y = math.cos(rx) * math.cos(rz) - math.sin(rx) * math.sin(ry) * math.sin(rz)
    return -math.cos(ry) * math.sin(rz), y


def angle_error(obs: np.ndarray) -> float:
    """Angle between where the robot faces and where it should, in [0, π] rad."""
    x, y, to_x, to_y = obs[FACING.start : DESIRED.stop].tolist()
    return abs(math.atan2(x * to_y - y * to_x, x * to_x + y * to_y))


def _reward(obs: np.ndarray, error: float, robel_quirks: bool) -> float:
    x, y, z = obs[ROOT_POS].tolist()
    upright = float(obs[UPRIGHT])
    near, well = error < 0.26, upright > UPRIGHT_WELL
    small = (near or well) if robel_quirks else near + well
    away = math.hypot(x, y, z) if robel_quirks else math.hypot(x, y)
    bonus = 5.0 * small + 10.0 * (error < SUCCESS_ERROR and well)
    fall = 500.0 * (upright < UPRIGHT_LIMIT)
    return 20.0 * (upright - UPRIGHT_LIMIT) - fall - 4.0 * error - 4.0 * away + bonus


def _info(obs: np.ndarray, error: float) -> dict[str, Any]:
    success = error < SUCCESS_ERROR and bool(obs[UPRIGHT] > UPRIGHT_WELL)
    return {"angle_error": error, "success": success}
