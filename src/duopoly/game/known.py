"""Which functions of a task's world are known, and which outputs the model must learn instead."""

import functools

from duopoly.model.dynamics import KnownFunctions
from duopoly.model.outcomes import LearnedOutputs
from duopoly.settings import ModelSettings
from duopoly.world.task import Task


def learned_outputs(task: Task, settings: ModelSettings) -> LearnedOutputs:
    """Returns what the model must learn beside the next observation."""
    return LearnedOutputs(
        reward=task.reward_fn is None or settings.learn_reward,
        termination=task.terminated_fn is None or settings.learn_termination,
    )


@functools.cache
def known_functions(
    task: Task,
    settings: ModelSettings = ModelSettings(),  # noqa: B008
) -> KnownFunctions:
    """Returns the functions of the task's world that need not be learned."""
    learned = learned_outputs(task, settings)
    return KnownFunctions(
        reward_fn=None if learned.reward else task.reward_fn,
        terminated_fn=None if learned.termination else task.terminated_fn,
        compute_fn=task.compute_fn,
        to_env_units=task.spec.to_env_units,
    )
