"""What of a task's world need not be learned, and what must be beside where a step leads."""

import functools

from duopoly.model.dynamics import Knowledge
from duopoly.model.outcomes import Unknown
from duopoly.settings import ModelSettings
from duopoly.world.task import Task


def unknown_of(task: Task, settings: ModelSettings) -> Unknown:
    """Returns what the model must learn beyond where a step leads."""
    return Unknown(
        reward=task.reward_fn is None or settings.learn_reward,
        termination=task.terminated_fn is None or settings.learn_termination,
    )


@functools.cache
def knowledge_of(task: Task, settings: ModelSettings = ModelSettings()) -> Knowledge:  # noqa: B008
    """Returns what need not be learned of the task's world."""
    unknown = unknown_of(task, settings)
    return Knowledge(
        reward_fn=None if unknown.reward else task.reward_fn,
        terminated_fn=None if unknown.termination else task.terminated_fn,
        compute_fn=task.compute_fn,
        to_env_units=task.spec.to_env_units,
    )
