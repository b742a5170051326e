"""Any environment in Gymnasium's registry as a task with nothing known: all of it is learned."""

from typing import Any, Final

import gymnasium as gym

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

    def make(render_mode: str | None) -> gym.Env[Any, Any]:
        """Builds the environment; what keeps it from being built is told in one line."""
        # Environments that cannot draw themselves need not take a render mode.
        drawing: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
        try:
            return gym.make(env_id, disable_env_checker=True, **drawing)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise TaskError(f"{env_id} cannot be made: {reason}") from error

    return Task(
        name=env_id,
        summary=f"{env_id} as Gymnasium has it ({horizon} actions), nothing known",
        make=make,
        horizon=horizon,
    )
