"""Any environment in Gymnasium's registry as a task with nothing known: all of it is learned."""

from typing import Final

import gymnasium as gym

from duopoly.world.environments import from_registry
from duopoly.world.task import Task, TaskError

DEFAULT_HORIZON: Final = 1_000
"""Actions per episode of an environment that names no limit."""


def registered_task(env_id: str) -> Task:
    """The task of a registered environment; its spaces are read when its `Task.spec` is.

    Raises:
        TaskError: no environment is registered under that id.
    """
    if env_id not in gym.registry:
        raise TaskError(f"{env_id}: not in Gymnasium's registry")
    horizon = gym.registry[env_id].max_episode_steps or DEFAULT_HORIZON
    return Task(
        name=env_id,
        summary=f"{env_id} as Gymnasium has it ({horizon} actions), nothing known",
        make=from_registry(env_id),
        horizon=horizon,
    )
