"""A 7-joint arm that brings its fingertip to a random target in space.

The arm, reward and reset follow mjrl's ``mjrl_reacher_7dof-v0``; the model file is our own. mjrl
states no success threshold: here the fingertip must end within the target's radius.
"""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo's compiled modules carry no types.)

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import gymnasium as gym
import jax.numpy as jnp
import mujoco
import numpy as np
from gymnasium.envs.mujoco import MujocoEnv
from jaxtyping import Array, Float

from duopoly.types import Episode
from duopoly.world.environments import from_registry
from duopoly.world.perturb import Perturbation
from duopoly.world.task import ActArray, ObsArray, Task, TaskError
from duopoly.world.tasks._environment import as_array, as_number, read_options, render_metadata
from duopoly.world.tasks._shared import length, never_terminated
from duopoly.world.tasks.catalogue import TaskRow

MODEL_FILE = Path(__file__).parent / "assets" / "reacher7dof.xml"
FRAME_SKIP = 4
"""Simulation steps of 0.01 s per action."""
DT = 0.04
"""Duration of an action, in s."""
TARGET_BOX = ((-0.3, -0.2, -0.25), (0.3, 0.2, 0.25))
"""Lowest and highest corner of the box in which targets are drawn, in m."""
FOREARM = 0.321
"""From the elbow's axis to the wrist's, in m."""
ELBOW_GEAR = 10.0
"""Torque of the elbow's motor per unit of action, in N·m."""
LONG_FOREARM = 0.421
WEAK_ELBOW = 3.0
"""What is left of the elbow's torque, in N·m per unit of action."""
PAYLOAD = 5.0
"""In the hand, in kg."""
FAR_BOX = ((-0.1, -1.3, -0.25), (0.5, -0.9, 0.25))
"""Targets on the other side of the arm, all within its reach with either forearm; in m."""
SUCCESS_DISTANCE = 0.05
"""In m; the radius of the target."""
FINGERTIP = slice(14, 17)
TARGET = slice(17, 20)


class Reacher7DOFEnv(MujocoEnv):
    """The arm as a Gymnasium environment.

    Action [7]: torques in units of 20 N·m (first joint) or 10 N·m (the others), in [-1, 1].
    Observation [20], clipped to ±10: joint angles (7, rad), joint velocities times the duration
    of an action (7, rad), fingertip (3, m), target (3, m).

    The fingertip is read as MuJoCo leaves it after a step, as in mjrl: it lags the joint angles
    by one simulation step of 0.01 s.

    ``forearm`` is the distance from the elbow's axis to the wrist's (0.1 to 1 m): the link grows
    with it and becomes heavier. ``target_box`` holds the lowest and the highest corner of the box
    in which targets are drawn (m, within ±10). ``elbow_gear`` is the torque of the elbow's motor
    per unit of action (-100 to 100 N·m), and ``payload`` a mass in the hand (0 to 100 kg): the
    observation shows neither.
    """

    metadata = render_metadata(DT)

    def __init__(
        self,
        render_mode: str | None = None,
        forearm: float = FOREARM,
        target_box: Any = TARGET_BOX,
        elbow_gear: float = ELBOW_GEAR,
        payload: float = 0.0,
        **render_options: Any,
    ) -> None:
        self._forearm = _read_number("forearm", forearm, 0.1, 1.0, "m")
        self._elbow_gear = _read_number("elbow_gear", elbow_gear, -100.0, 100.0, "N·m")
        self._payload = _read_number("payload", payload, 0.0, 100.0, "kg")
        self._target_box = _read_box(target_box)
        space = gym.spaces.Box(-10.0, 10.0, shape=(20,), dtype=np.float64)
        super().__init__(
            str(MODEL_FILE),
            FRAME_SKIP,
            space,
            render_mode=render_mode,
            **{"camera_name": "view", **render_options},
        )
        self._fingertip = self.data.site("fingertip").xpos
        self._target = self.data.mocap_pos[0]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Arm at rest, stretched out; target drawn from the box.

        ``options={"target": [x, y, z]}`` places the target instead.

        Raises:
            TaskError: an unknown option, or a target that is not three finite numbers.
        """
        target = _read_target(options)
        super().reset(seed=seed)
        drawn = self.np_random.uniform(*self._target_box)
        self._target[:] = drawn if target is None else target
        mujoco.mj_forward(self.model, self.data)
        obs = self._observe()
        return obs, {"distance": _errors(obs)[1]}

    def reset_model(self) -> np.ndarray:
        """Arm at rest; the simulation has just been reset."""
        return self._observe()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        self.data.ctrl[:] = action
        mujoco.mj_step(self.model, self.data, FRAME_SKIP)
        obs = self._observe()
        if self.render_mode == "human":
            self.render()
        sum_of_errors, distance = _errors(obs)
        return obs, -sum_of_errors - 5.0 * distance, False, False, {"distance": distance}

    def _initialize_simulation(self) -> tuple[Any, Any]:
        """Gymnasium's own, with the arm as it was asked for."""
        if (self._forearm, self._elbow_gear, self._payload) == (FOREARM, ELBOW_GEAR, 0.0):
            return super()._initialize_simulation()
        spec = mujoco.MjSpec.from_file(self.fullpath)
        longer = self._forearm - FOREARM
        spec.body("wrist_flex").pos[0] += longer
        spec.geom("forearm").fromto[3] += longer
        spec.actuator("elbow_flex").gear[0] = self._elbow_gear
        _fill(spec.geom("hand"), self._payload)
        model = spec.compile()
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, self.width)
        model.vis.global_.offheight = max(model.vis.global_.offheight, self.height)
        return model, mujoco.MjData(model)

    def _observe(self) -> np.ndarray:
        data = self.data
        obs = np.concatenate((data.qpos, data.qvel * DT, self._fingertip, self._target))
        return obs.clip(-10.0, 10.0)


def _errors(obs: np.ndarray) -> tuple[float, float]:
    """The 1-norm and the 2-norm of fingertip minus target, in m."""
    x, y, z = (obs[FINGERTIP] - obs[TARGET]).tolist()
    return abs(x) + abs(y) + abs(z), math.sqrt(x * x + y * y + z * z)


def _fill(hand: Any, payload: float) -> None:
    """Makes the hand, a sphere, as much heavier as a payload inside it."""
    volume = 4.0 / 3.0 * math.pi * hand.size[0] ** 3
    hand.density += payload / volume


def _read_number(name: str, given: Any, lowest: float, highest: float, unit: str) -> float:
    number = as_number(given)
    if not lowest <= number <= highest:
        raise TaskError(
            f"Reacher7DOF: {name} = {given!r}, must be a number in [{lowest:g}, {highest:g}] "
            f"({unit})"
        )
    return number


def _read_box(target_box: Any) -> np.ndarray:
    box = as_array(target_box)
    if box.shape != (2, 3) or not (np.abs(box) <= 10.0).all() or not (box[0] <= box[1]).all():
        raise TaskError(
            f"Reacher7DOF: target_box = {' '.join(repr(target_box).split())}, must be a lowest and "
            f"a highest corner of three numbers each, within ±10 (m)"
        )
    return box


def _read_target(options: dict[str, Any] | None) -> np.ndarray | None:
    given = read_options("Reacher7DOF", options, ("target",))
    if not given:
        return None
    target = as_array(given["target"])
    if target.shape != (3,) or not np.isfinite(target).all():
        raise TaskError(
            f"Reacher7DOF: target = {given['target']!r}, must be three finite numbers (m)"
        )
    return target


def reacher_reward(obs: ObsArray, action: ActArray, next_obs: ObsArray) -> Float[Array, ""]:  # noqa: ARG001
    """-‖f - g‖₁ - 5 ‖f - g‖₂ with the fingertip f and the target g after the action, in m."""
    error = next_obs[FINGERTIP] - next_obs[TARGET]
    return -jnp.sum(jnp.abs(error)) - 5.0 * length(error)


def distances(episode: Episode) -> np.ndarray:
    """Distance between fingertip and target after each action, ``[T]`` in m."""
    return np.linalg.norm(episode.next_obs[:, FINGERTIP] - episode.next_obs[:, TARGET], axis=1)


def reached(episode: Episode) -> bool:
    """Whether the episode ended with the fingertip inside the target."""
    return bool(distances(episode)[-1] < SUCCESS_DISTANCE)


PERTURBED: Final[Mapping[str, Mapping[str, Any]]] = {
    "forearm": {"forearm": LONG_FOREARM},
    "goal": {"target_box": FAR_BOX},
    "elbow": {"elbow_gear": WEAK_ELBOW},
    "payload": {"payload": PAYLOAD},
    "elbow-goal": {"elbow_gear": WEAK_ELBOW, "target_box": FAR_BOX},
}
"""Options of the worlds of Fig. 4, whose sizes the paper does not give, and of others beside."""


def reacher_task(row: TaskRow) -> Task:
    """The arm, and the worlds that it can turn into."""
    return Task(
        name=row.name,
        summary=row.summary,
        make=from_registry(row.env_id),
        horizon=row.horizon,
        reward_fn=reacher_reward,
        terminated_fn=never_terminated,
        success_fn=reached,
        constant=tuple(range(TARGET.start, TARGET.stop)),
        perturbations=tuple(
            Perturbation(name, row.perturbations[name], from_registry(row.env_id, options))
            for name, options in PERTURBED.items()
        ),
    )
