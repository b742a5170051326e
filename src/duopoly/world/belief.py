"""What of a simulator's answers is believed."""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo's compiled modules carry no types.)

from typing import Any, final

import gymnasium as gym
import mujoco
import numpy as np
from jaxtyping import Float

from duopoly.types import MAX_SIZE
from duopoly.world.task import Task

# The warnings from this one on say that the state or control was refused: BADQPOS, BADQVEL,
# BADQACC and BADCTRL. MuJoCo then resets itself in silence, which leaves nothing else to see.
_FIRST_FATAL_WARNING = int(mujoco.mjtWarning.mjWARN_BADQPOS)


@final
class Alarm:
    """Notices MuJoCo's fatal warnings; silent for environments without MuJoCo data."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        """Counts from here on."""
        data: Any = getattr(env.unwrapped, "data", None)
        if isinstance(data, mujoco.MjData):
            # A view: MuJoCo counts on in it.
            self._counts: np.ndarray = data.warning.number[_FIRST_FATAL_WARNING:]
        else:
            self._counts = np.zeros(0)
        self._calm = self._counts.tobytes()

    def reason(self) -> str | None:
        """What MuJoCo refused since the alarm was made, if anything."""
        if self._counts.tobytes() == self._calm:
            return None
        warning = _FIRST_FATAL_WARNING + int(np.argmax(self._counts))
        name = mujoco.mjtWarning(warning).name.removeprefix("mjWARN_")
        return f"the simulation diverged (MuJoCo {name})"


def read_obs(obs: Any, task: Task) -> Float[np.ndarray, " obs"]:
    """A float64 copy, since an environment may reuse its array.

    Raises:
        ValueError: it has another shape than the task's observations.
    """
    copy = np.array(obs, dtype=np.float64)
    if copy.shape != (task.spec.obs_dim,):
        raise ValueError(f"observation of shape {copy.shape}, expected ({task.spec.obs_dim},)")
    return copy


def read_reward(reward: Any) -> float:
    """A reward as a number.

    Raises:
        ValueError: it is an array.
    """
    if np.ndim(reward) > 0:
        raise ValueError(f"reward of shape {np.shape(reward)}, expected a single number")
    return float(reward)


def is_believable(array: np.ndarray) -> bool:
    """Whether the array is finite and no larger than MuJoCo would believe."""
    return bool(np.maximum.reduce(np.abs(array)) < MAX_SIZE)


def unbelievable(obs: np.ndarray, reward: float) -> str | None:
    """What of a step is not believed, if anything."""
    if not is_believable(obs):
        return "the observation is not finite or beyond belief"
    if not abs(reward) < MAX_SIZE:
        return f"the reward is {reward}"
    return None
