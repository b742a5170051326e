"""A 24-joint hand that turns a pen to a desired direction without dropping it.

Hand, pen and reward are those of Gymnasium-Robotics' ``AdroitHandPen-v1``; horizon, termination and
success are those of mj_envs' ``pen-v0``, from which it descends.
"""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo's compiled modules carry no types.)

from typing import Any, Final

import gymnasium as gym
import jax.numpy as jnp
import numpy as np
from gymnasium.utils import EzPickle
from gymnasium_robotics.envs.adroit_hand.adroit_pen import AdroitHandPenEnv
from jaxtyping import Array, Bool, Float

from duopoly.types import Episode
from duopoly.world.environments import from_registry
from duopoly.world.task import ActArray, ObsArray, Task, TaskError
from duopoly.world.tasks._environment import read_options
from duopoly.world.tasks._shared import length
from duopoly.world.tasks.catalogue import TaskRow

NAME = "InHandPen"
DROP_HEIGHT = 0.075
"""The pen is dropped where its centre is lower than this, in m."""
CENTRE: Final = (0.0, -0.2, 0.25)
"""Where the pen's centre ought to be, in m."""
NEAR = 0.075
"""The pen's centre is in place within this distance of it, in m."""
ALIGNED = 0.95
"""Cosine of the angle to the desired direction beyond which the goal is reached (18°)."""
SUCCESS_STEPS = 20
"""An episode succeeds with more steps than this in the goal."""

RENDER_OPTIONS = frozenset({"width", "height", "camera_id", "camera_name", "max_geom"})
"""What Gymnasium's `MujocoEnv` takes besides."""

NUM_JOINTS = 24
POSITION = slice(24, 27)
AXIS = slice(33, 36)
DESIRED_AXIS = slice(36, 39)
POSITION_ERROR = slice(39, 42)
AXIS_ERROR = slice(42, 45)


class InHandPenEnv(AdroitHandPenEnv):
    """The hand as a Gymnasium environment that ends where the pen is dropped.

    Action [24]: desired joint angles, [-1, 1] spanning each actuator's range.
    Observation [69]: joint angles (24, rad), pen's centre (3, m) and velocity (6, in the frame of
    its slides and hinges, m/s and rad/s), its axis (3, unit), the desired axis (3, unit), centre
    minus `CENTRE` (3, m), axis minus desired axis (3), and joint velocities times the duration of
    an action, 0.01 s (24, rad). The last are missing in the original and without
    ``hand_velocities``, with which hand and pen are observed in full.

    Raises:
        TaskError: an unknown option, or ``hand_velocities`` neither True nor False.
    """

    def __init__(
        self,
        render_mode: str | None = None,
        *,
        hand_velocities: bool = True,
        **render_options: Any,
    ) -> None:
        _check_hand_velocities(hand_velocities)
        if unknown := set(render_options) - RENDER_OPTIONS:
            raise TaskError(
                f"{NAME}: unknown option {sorted(unknown)}; there are hand_velocities, "
                f"render_mode, {', '.join(sorted(RENDER_OPTIONS))}"
            )
        self._hand_velocities = hand_velocities
        super().__init__("dense", render_mode=render_mode, **render_options)
        EzPickle.__init__(
            self, render_mode=render_mode, hand_velocities=hand_velocities, **render_options
        )
        size = 45 + hand_velocities * NUM_JOINTS
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (size,), np.float64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Open hand, pen at rest in it; desired axis drawn anew.

        ``options={"initial_state_dict": state}`` sets a state of `get_env_state` instead.

        Raises:
            TaskError: an unknown option, or a state that is not such a one.
        """
        self._check_reset(options)
        return super().reset(seed=seed, options=options)

    def step(  # pyright: ignore[reportIncompatibleMethodOverride]  (the original never ends)
        self, a: np.ndarray
    ) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        obs, reward, _, _, info = super().step(a)
        dropped = bool(obs[POSITION.stop - 1] < DROP_HEIGHT)
        return obs, float(reward), dropped, False, info

    def _get_obs(self) -> np.ndarray:
        obs = super()._get_obs()
        if not self._hand_velocities:
            return obs
        return np.concatenate((obs, self.data.qvel[:NUM_JOINTS] * self.dt))

    def _check_reset(self, options: dict[str, Any] | None) -> None:
        given = read_options(NAME, options, ("initial_state_dict",))
        if given and not self._state_space.contains(given["initial_state_dict"]):
            raise TaskError(
                f"{NAME}: initial_state_dict must hold float64 arrays qpos (30), qvel (30) and "
                f"desired_orien (4), as get_env_state() gives them; it is "
                f"{' '.join(str(given['initial_state_dict']).split())[:80]}"
            )


def _check_hand_velocities(hand_velocities: object) -> None:
    if not isinstance(hand_velocities, bool):
        raise TaskError(f"{NAME}: hand_velocities = {hand_velocities!r}, must be True or False")


def dropped(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> Bool[Array, ""]:  # noqa: ARG001
    """Whether the pen's centre is below 0.075 m."""
    return next_obs[POSITION.stop - 1] < DROP_HEIGHT


def pen_reward(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> Float[Array, ""]:
    """-d + s + 10 [d < 0.075, s > 0.9] + 50 [d < 0.075, s > 0.95] - 5 [dropped].

    d is the distance of the pen's centre from its place after the action, in m, and s the cosine
    of the angle between the pen's axis and the desired one.
    """
    distance = length(next_obs[POSITION_ERROR])
    cosine = jnp.dot(next_obs[AXIS], next_obs[DESIRED_AXIS])
    near = distance < NEAR
    bonus = 10.0 * (near & (cosine > 0.9)) + 50.0 * (near & (cosine > ALIGNED))
    return -distance + cosine + bonus - 5.0 * dropped(obs, action, next_obs)


def complete(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> ObsArray:  # noqa: ARG001
    """The axis brought back to unit length, and both errors from centre and axis."""
    axis = next_obs[AXIS] / length(next_obs[AXIS])
    return (
        next_obs.at[AXIS]
        .set(axis)
        .at[POSITION_ERROR]
        .set(next_obs[POSITION] - jnp.array(CENTRE))
        .at[AXIS_ERROR]
        .set(axis - next_obs[DESIRED_AXIS])
    )


def in_goal(episode: Episode) -> Bool[np.ndarray, " T"]:
    """Whether the pen is in place and aligned, after each action."""
    distance = np.linalg.norm(episode.next_obs[:, POSITION_ERROR], axis=1)
    cosine = np.sum(episode.next_obs[:, AXIS] * episode.next_obs[:, DESIRED_AXIS], axis=1)
    return (distance < NEAR) & (cosine > ALIGNED)


def held(episode: Episode) -> bool:
    """Whether the pen was in the goal on more than 20 steps (mj_envs' ``evaluate_success``)."""
    return int(in_goal(episode).sum()) > SUCCESS_STEPS


def in_hand_pen_task(row: TaskRow, *, hand_velocities: bool = True) -> Task:
    """The task, its observation with or without the hand's joint velocities.

    Raises:
        TaskError: ``hand_velocities`` is neither True nor False.
    """
    _check_hand_velocities(hand_velocities)
    return Task(
        name=row.name,
        summary=row.summary,
        make=from_registry(row.env_id, {"hand_velocities": hand_velocities}),
        horizon=row.horizon,
        reward_fn=pen_reward,
        terminated_fn=dropped,
        success_fn=held,
        constant=tuple(range(DESIRED_AXIS.start, DESIRED_AXIS.stop)),
        computed=tuple(range(POSITION_ERROR.start, AXIS_ERROR.stop)),
        compute_fn=complete,
    )
