"""What D'Claw and D'Kitty share: variants, reset options, position control, random dynamics.

Facts after ROBEL (Apache-2.0): Ahn et al. 2020, "ROBEL: Robotics Benchmarks for Learning with
Low-Cost Robots".
"""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo's compiled modules carry no types.)

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import mujoco
import numpy as np
from jaxtyping import Float

from duopoly.world.task import TaskError
from duopoly.world.tasks._environment import as_number, read_options

VARIANTS = ("fixed", "random", "random_dynamics")
"""One goal for ever, goals drawn in every episode, and physics and sensor noise drawn as well."""
FRAME_SKIP = 40
"""Simulation steps of 0.0025 s per action."""
DT = 0.1
"""Duration of an action, in s."""
NOISE = 0.05
"""Sensor noise of ``random_dynamics``, as a share of what a joint or its speed can span."""

Angle = TypeVar("Angle", float, jax.Array)

_FRICTION = np.array([[0.8, 0.003, 5e-5], [1.2, 0.007, 1.5e-4]])
"""Lowest and highest sliding, torsional (m) and rolling (m) friction of ``random_dynamics``."""
_DRAWN_FIELDS = (
    "actuator_biasprm",
    "actuator_gainprm",
    "body_inertia",
    "body_mass",
    "body_pos",
    "dof_damping",
    "dof_frictionloss",
    "geom_friction",
)


@dataclasses.dataclass(frozen=True)
class PositionControl:
    """Joint positions asked for by an action, no further off than the motors can turn in time."""

    centre: Float[np.ndarray, " act"]
    """Joint positions that action 0 asks for, in rad."""
    half_range: Float[np.ndarray, " act"]
    """How far from the centre action 1 is, in rad."""
    max_speed: float
    """In rad/s."""

    def __call__(
        self, action: Float[np.ndarray, " act"], joints: Float[np.ndarray, " act"]
    ) -> Float[np.ndarray, " act"]:
        """Targets of the position actuators (rad), given where the joints are now (rad)."""
        reach = self.max_speed * DT
        change = self.centre + self.half_range * action - joints
        return joints + np.minimum(np.maximum(change, -reach), reach)

    def act(self, model: Any, data: Any, action: Float[np.ndarray, " act"], joints: slice) -> None:
        """Simulates one action of joints that stand at ``joints`` of the model's positions."""
        data.ctrl[:] = self(action, data.qpos[joints])
        mujoco.mj_step(model, data, FRAME_SKIP)

    def noise(self, rng: np.random.Generator) -> Float[np.ndarray, "2 act"]:
        """A draw of the sensor noise of positions (rad) and of speeds (rad/s)."""
        amplitude = np.stack((self.half_range, np.full_like(self.centre, self.max_speed)))
        return NOISE * amplitude * rng.uniform(-1.0, 1.0, amplitude.shape)


def check_variant(name: str, variant: str) -> None:
    """Refuses a variant that is not one of `VARIANTS`.

    Raises:
        TaskError: naming it.
    """
    if variant not in VARIANTS:
        known = ", ".join(map(repr, VARIANTS))
        raise TaskError(f"{name}: unknown variant {variant!r}; there are {known}")


def draw_angles(variant: str, rng: np.random.Generator) -> tuple[float, float]:
    """The angle at the start, about 0, and the desired one, about π, in rad.

    Both are drawn from ±π/3 around these, but for the variant ``fixed``.
    """
    spread = 0.0 if variant == "fixed" else math.pi / 3
    start, goal = rng.uniform((-spread, math.pi - spread), (spread, math.pi + spread))
    return start, goal


def read_angles(
    name: str, options: Mapping[str, Any] | None, limits: Mapping[str, float]
) -> dict[str, float]:
    """The angles given as reset options, in rad; each lies within ± its limit.

    Raises:
        TaskError: an unknown option, or an angle that is no finite number or out of range.
    """
    given = read_options(name, options, tuple(limits))
    return {key: _read_angle(name, key, value, limits[key]) for key, value in given.items()}


def _read_angle(name: str, key: str, value: Any, limit: float) -> float:
    angle = as_number(value)
    if not abs(angle) <= limit:
        raise TaskError(f"{name}: {key} = {value!r}, must be a number in ±{limit:g} (rad)")
    return angle


def wrap(angle: Angle) -> Angle:
    """The same angle in [-π, π), in rad."""
    return (angle + math.pi) % (2.0 * math.pi) - math.pi


@dataclasses.dataclass(frozen=True)
class RandomPhysics:
    """Ranges (lowest, highest) from which the physics of an episode are drawn."""

    damping: tuple[float, float]
    """Of each joint, in N·m·s/rad."""
    friction_loss: tuple[float, float]
    """Of each joint, in N·m."""
    gain: tuple[float, float]
    """Of all position actuators alike, in N·m/rad."""
    joints_alike: bool
    """Whether all joints get the same damping and the same friction loss."""

    def draw(self, model: Any, dofs: slice, rng: np.random.Generator) -> None:
        """Draws damping and friction of the joints, gain, and one friction for all geoms."""
        size = 1 if self.joints_alike else dofs.stop - dofs.start
        model.dof_damping[dofs] = rng.uniform(*self.damping, size)
        model.dof_frictionloss[dofs] = rng.uniform(*self.friction_loss, size)
        gain = rng.uniform(*self.gain)
        model.actuator_gainprm[:, 0] = gain
        model.actuator_biasprm[:, 1] = -gain
        model.geom_friction[:] = rng.uniform(*_FRICTION)


class Nominal:
    """The drawn physics of a model as its file has them, to start each draw from."""

    def __init__(self, model: Any) -> None:
        self._values = {field: getattr(model, field).copy() for field in _DRAWN_FIELDS}

    def restore(self, model: Any) -> None:
        """Puts them back."""
        for field, value in self._values.items():
            getattr(model, field)[:] = value
