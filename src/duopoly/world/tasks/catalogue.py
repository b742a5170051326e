"""The catalogue of tasks: one row each, from which all else that is told of them follows.

Nothing heavy is imported, so that it answers within milliseconds: a row names what makes its task,
and only `TaskRow.make` loads it.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from duopoly.world.task import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskRow:
    """What is known of a task before its simulator is loaded."""

    name: str
    about: str
    """What is done in it, in a few words."""
    maker: str
    """``module:function`` beside this module: given this row, the function returns the task."""
    horizon: int
    """Actions per episode."""
    action_repeat: int = 1
    """Environment steps per action."""
    perturbations: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Worlds that it can turn into while it is learned: one line each, by name."""
    environment: str | None = None
    """``module:Class`` beside this module: an environment of our own, registered as `env_id`."""
    variants: tuple[str, ...] = ()
    """Other ways to draw or to see an episode: each is a task of its own that no list shows."""
    variant: str | None = None
    """Which of them this row is."""
    variant_of: str | None = None
    """Name of the listed task whose variant this row is."""
    extra: str | None = None
    """The extra of this package that brings its simulator, where not every user needs it."""

    @property
    def summary(self) -> str:
        """One line for the list of tasks."""
        held = (
            f", each action held for {self.action_repeat} steps" if self.action_repeat > 1 else ""
        )
        return f"{self.about}{held} ({self.horizon} actions)"

    @property
    def listed_name(self) -> str:
        """The task's name, or that of the task whose variant it is."""
        return self.variant_of or self.name

    @property
    def env_id(self) -> str:
        """The id of our own environment in Gymnasium's registry."""
        return f"duopoly/{self.listed_name}-v0"

    @property
    def env_steps(self) -> int:
        """Environment steps per episode."""
        return self.horizon * self.action_repeat

    def rows(self) -> tuple[TaskRow, ...]:
        """This row and those of its variants."""
        return self, *map(self._in_variant, self.variants)

    def make(self) -> Task:
        """Loads what makes the task, and makes it."""
        module, function = self.maker.split(":")
        return getattr(importlib.import_module(f"{__package__}.{module}"), function)(self)

    def _in_variant(self, variant: str) -> TaskRow:
        name = f"{self.name}-{variant.replace('_', '-')}"
        return dataclasses.replace(
            self, name=name, variants=(), variant=variant, variant_of=self.name
        )


LISTED: Final = (
    TaskRow(
        name="Reacher7DOF",
        about="a 7-joint arm brings its fingertip to a random target",
        maker="reacher7dof:reacher_task",
        horizon=50,
        perturbations={
            "forearm": "the forearm grows from 0.321 to 0.421 m (paper, Fig. 4: after 10000 steps)",
            "goal": "targets move to the other side of the arm (paper, Fig. 4: after 8000 steps)",
            "elbow": "the elbow's motor loses 70 % of its torque, which is not observed",
            "payload": "the hand carries 5 kg, which is not observed",
            "elbow-goal": "both at once: the elbow's motor and the targets",
        },
        environment="reacher7dof:Reacher7DOFEnv",
    ),
    TaskRow(
        name="DClawTurn",
        about="three fingers turn a valve to a random angle",
        maker="dclaw_turn:turn_task",
        horizon=40,
        environment="dclaw_turn:DClawTurnEnv",
        variants=("fixed", "random_dynamics"),
    ),
    TaskRow(
        name="DKittyOrient",
        about="a quadruped turns on the spot to face a random target",
        maker="dkitty_orient:orient_task",
        horizon=80,
        environment="dkitty_env:DKittyOrientEnv",
        variants=("fixed", "random_dynamics"),
    ),
    TaskRow(
        name="Hopper-v5",
        about="a one-legged robot hops forward",
        maker="runners:runner_task",
        horizon=500,
        action_repeat=2,
        variants=("unclipped",),
    ),
    TaskRow(
        name="HalfCheetah-v5",
        about="a two-legged robot runs",
        maker="runners:runner_task",
        horizon=500,
        action_repeat=2,
    ),
    TaskRow(
        name="Walker2d-v5",
        about="a two-legged robot walks",
        maker="runners:runner_task",
        horizon=500,
        action_repeat=2,
        variants=("unclipped",),
    ),
    TaskRow(
        name="Ant-v5",
        about="a four-legged robot runs",
        maker="runners:runner_task",
        horizon=1_000,
    ),
    TaskRow(
        name="Humanoid-v5",
        about="a humanoid runs",
        maker="runners:runner_task",
        horizon=1_000,
    ),
    TaskRow(
        name="Swimmer-v5",
        about="a three-link robot swims",
        maker="runners:runner_task",
        horizon=1_000,
    ),
    TaskRow(
        name="InvertedPendulum-v5",
        about="a cart balances a pole",
        maker="pendulums:pendulum_task",
        horizon=1_000,
    ),
    TaskRow(
        name="InvertedDoublePendulum-v5",
        about="a cart balances two poles in a row",
        maker="pendulums:double_pendulum_task",
        horizon=1_000,
    ),
    TaskRow(
        name="Reacher-v5",
        about="a 2-joint arm reaches for a random target in the plane",
        maker="arms:reacher_task",
        horizon=50,
    ),
    TaskRow(
        name="Pusher-v5",
        about="a 7-joint arm pushes a cylinder to its goal",
        maker="arms:pusher_task",
        horizon=100,
    ),
    TaskRow(
        name="InHandPen",
        about="a 24-joint hand turns a pen to a random direction",
        maker="in_hand_pen:in_hand_pen_task",
        horizon=100,
        environment="in_hand_pen:InHandPenEnv",
        extra="robotics",
    ),
)
"""The tasks in the order in which they are listed."""

CATALOGUE: Final[Mapping[str, TaskRow]] = {
    row.name: row for listed in LISTED for row in listed.rows()
}
"""Every task's row by its name, variants included."""
