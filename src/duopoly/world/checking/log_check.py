"""What a task knows of reward and termination against what a log of it says."""

import jax
import numpy as np
from jaxtyping import Bool, Shaped

from duopoly.world.checking.traceable import TaskFunction, explain, functions_of
from duopoly.world.logged import Log, LogError
from duopoly.world.task import Task, TaskError

RELATIVE_TOLERANCE = 1e-3
"""Deviation of a reward that passes, as a share of its size and of the typical (median) one; and
the share of the rows that may deviate by more, as where rounding crosses a threshold."""


def check_log(log: Log, task: Task, name: str, *, reward: bool, termination: bool) -> None:
    """Compares a log with what the task knows, as far as the game takes it for known.

    Another version of the environment, other units, or rows of single steps where the task holds
    its actions, are seen here.

    Args:
        log: of the task.
        task: with its actions held as they are held in the game.
        name: of the log, for messages.
        reward: whether the task's reward function is used.
        termination: whether its termination function is used.

    Raises:
        LogError: they differ; the first row that does is named.
        TaskError: a function raises.
    """
    functions = functions_of(task)
    if reward and (known := functions.get("reward_fn")):
        got, size = _answers(known, log, task), np.abs(log.reward)
        room = RELATIVE_TOLERANCE * (size + np.median(size)) + 1e-6 * size.max()
        _compare(
            f"{name}: the reward", log.reward, got, ~(np.abs(got - log.reward) <= room), task,
            "learn it from the log instead, model.learn_reward",
        )  # fmt: skip
    if termination and (known := functions.get("terminated_fn")):
        got = _answers(known, log, task)
        _compare(
            f"{name}: terminated", log.terminated, got, got != log.terminated, task,
            "learn it from the log instead, model.learn_termination",
        )  # fmt: skip


def _answers(function: TaskFunction, log: Log, task: Task) -> Shaped[np.ndarray, " N"]:
    action = task.spec.to_env_units(log.action).astype(np.float32)
    try:
        return np.asarray(jax.jit(jax.vmap(function.__call__))(log.obs, action, log.next_obs))
    except Exception as error:  # whatever the user's code raises
        raise TaskError(f"{function.what} {explain(error, function.fn)}") from error


def _compare(
    what: str,
    said: Shaped[np.ndarray, " N"],
    known: Shaped[np.ndarray, " N"],
    is_wrong: Bool[np.ndarray, " N"],
    task: Task,
    way_out: str,
) -> None:
    if is_wrong.sum() <= RELATIVE_TOLERANCE * len(said):
        return
    at = int(np.argmax(is_wrong))
    there, here = (x[at].item() if x.dtype == bool else f"{x[at]:.6g}" for x in (said, known))
    held = f", each action held for {task.action_repeat} steps" if task.action_repeat > 1 else ""
    raise LogError(
        f"{what} of transition {at} is {there}, but {task.name} knows it to be {here}"
        f"{held}, and so in {is_wrong.sum()} of {len(said)}: log what this task pays and ends, or "
        f"{way_out}"
    )
