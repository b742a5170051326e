"""Any environment in Gymnasium's registry as a task with nothing known: all of it is learned."""

import gymnasium as gym

from duopoly.world.environments import from_registry, time_limit
from duopoly.world.task import Task, TaskError


def registered_task(env_id: str) -> Task:
    """The task of a registered environment; its spaces are read when its `Task.spec` is.

    Raises:
        TaskError: no environment is registered under that id.
    """
    if env_id not in gym.registry:
        raise TaskError(f"{env_id}: not in Gymnasium's registry")
    horizon = time_limit(env_id)
    return Task(
        name=env_id,
        summary=f"{env_id} as Gymnasium has it ({horizon} actions), nothing known",
        make=from_registry(env_id),
        horizon=horizon,
    )
