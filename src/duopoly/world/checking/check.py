"""A task's functions against its real environment: what differs, where and by how much."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Shaped

from duopoly.types import Controller, Episode
from duopoly.world.checking.gymnasium_check import gymnasium_notes
from duopoly.world.checking.proposals import propose
from duopoly.world.checking.random_play import Played, play, random_controllers
from duopoly.world.checking.task_report import Comparison, TaskReport, Worst
from duopoly.world.checking.traceable import (
    TaskFunction,
    check_functions,
    explain,
    functions_of,
)
from duopoly.world.task import Task, TaskError

RELATIVE_TOLERANCE = 1e-4
"""Deviation that passes, as a share of a number's own size and of the typical (median) one."""
ROUNDING = 1e-6
"""Deviation that passes, as a share of the largest number: a few roundings to float32."""


def check_task(
    task: Task, num_steps: int = 2_000, seed: int = 0, *, controller: Controller | None = None
) -> TaskReport:
    """Plays episodes and compares the task's functions with what the environment did.

    Compared are ``reward_fn``, ``terminated_fn``, ``compute_fn`` and whether the ``constant``
    components are constant. What rounding to float32 explains passes: see `RELATIVE_TOLERANCE`
    and `ROUNDING`. Notes tell what more could be declared constant or computed, and what
    Gymnasium's own checker says.

    Args:
        task: what to check.
        num_steps: environment steps to play, each action repeat included.
        seed: of everything random.
        controller: what acts, with the noise that explores, such as `Agent.controller`; by default
            three kinds of random actions are played.

    Returns:
        A report; numbers that differ do not raise.

    Raises:
        TaskError: a function cannot be compiled, returns another shape or type than it must, has
            side effects, raises, or returns NaN or infinity on a real transition; or the spaces
            cannot be played, or the steps are too few. The message names the function and the way
            out.
        SimulatorError: the environment failed.
    """
    check_functions(task)
    controllers = [controller] if controller else random_controllers(task.spec.action_dim)
    played = play(task, controllers, num_steps, seed)
    _check_success(task, played.episodes)
    comparisons, notes = _compare_functions(task, played)
    notes += [*propose(task, played), *gymnasium_notes(task)]
    comparisons += [
        # What the task holds constant is what an episode begins with.
        _compare(
            f"constant component {task.spec.obs_name(i)}",
            played,
            played.next_obs[:, i],
            played.first_obs[:, i],
            ROUNDING * np.abs(played.next_obs[:, i]).max(),
        )
        for i in task.constant
    ]
    return TaskReport(
        task=task.name,
        num_actions=len(played.reward),
        num_episodes=len(played.episodes),
        num_ends=int(played.terminated.sum()),
        num_dropped=played.num_dropped,
        comparisons=tuple(comparisons),
        notes=tuple(notes),
    )


def _check_success(task: Task, episodes: list[Episode]) -> None:
    if task.success_fn is None:
        return
    for number, episode in enumerate(episodes):
        if not episode.complete:
            continue
        try:
            answer = task.success_fn(episode)
        except Exception as error:  # whatever the user's code raises
            words = explain(error, task.success_fn)
            raise TaskError(f"{task.name}: success_fn {words} on episode {number}") from error
        if not isinstance(answer, bool | np.bool_):
            kind = type(answer).__name__
            raise TaskError(f"{task.name}: success_fn returns a {kind}, must be True or False")


def _compare_functions(task: Task, played: Played) -> tuple[list[Comparison], list[str]]:
    """Compares each function that the task gives, and notes what could not be."""
    functions = functions_of(task)
    comparisons: list[Comparison] = []
    notes: list[str] = []
    if known := functions.get("reward_fn"):
        got = _answers(known, played, played.next_obs)
        comparisons.append(
            _compare("reward_fn", played, played.reward, got, _tolerance(played.reward))
        )
    else:
        notes.append("reward_fn is None: the reward is not known")
    if known := functions.get("terminated_fn"):
        got = _answers(known, played, played.next_obs)
        comparisons += _compare_ends(played, got)
        notes += _notes_on_ends(played, got)
    else:
        notes.append("terminated_fn is None: where the world ends is not known")
    if known := functions.get("compute_fn"):
        comparisons += _compare_computed(task, known, played)
    return comparisons, notes


def _answers(
    function: TaskFunction, played: Played, next_obs: Float[np.ndarray, "N obs"]
) -> Shaped[np.ndarray, "N ..."]:
    """What a function says of every transition, compiled; uncompiled it must say the same."""
    try:
        batched = jax.jit(jax.vmap(function.__call__))
        got = np.asarray(batched(played.obs, played.action, next_obs))
        rows = sorted({0, len(got) // 2, len(got) - 1})
        plain = np.stack(
            [
                np.asarray(function(*map(jnp.asarray, row)))
                for row in zip(played.obs[rows], played.action[rows], next_obs[rows], strict=True)
            ]
        )
    except Exception as error:  # whatever the user's code raises
        raise TaskError(f"{function.what} {explain(error, function.fn)}") from error
    if not np.isfinite(got).all():
        index = int(np.argwhere(~np.isfinite(got))[0][0])
        raise TaskError(
            f"{function.what} returns {got[index]} in episode {played.episode[index]}, action "
            f"{played.step[index]}: obs = {played.obs[index]}, action = {played.action[index]}, "
            f"next_obs = {next_obs[index]}"
        )
    room = RELATIVE_TOLERANCE * np.abs(got.astype(np.float64)).max()
    if not (np.abs(plain.astype(np.float64) - got[rows].astype(np.float64)) <= room).all():
        raise TaskError(
            f"{function.what} says {got[rows[0]]} when compiled and {plain[0]} when not: "
            f"it must depend on (obs, action, next_obs) alone"
        )
    return got


def _tolerance(expected: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    size = np.abs(expected)
    return RELATIVE_TOLERANCE * (size + np.median(size)) + ROUNDING * size.max()


def _compare(
    part: str,
    played: Played,
    expected: Shaped[np.ndarray, " N"],
    got: Shaped[np.ndarray, " N"],
    tolerance: float | np.floating | Float[np.ndarray, " N"],
) -> Comparison:
    deviation = np.abs(got.astype(np.float64) - expected.astype(np.float64))
    wrong = deviation > tolerance
    worst = None
    if wrong.any():
        index = int(np.argmax(np.where(wrong, deviation, -1.0)))
        worst = Worst(
            episode=int(played.episode[index]),
            step=int(played.step[index]),
            obs=played.obs[index],
            action=played.action[index],
            next_obs=played.next_obs[index],
            expected=expected[index].item(),
            got=got[index].item(),
        )
    num_wrong = int(wrong.sum())
    mean, largest = float(deviation.mean()), float(deviation.max())
    return Comparison(part, len(got), num_wrong, mean, largest, worst)


def _compare_ends(played: Played, got: Bool[np.ndarray, " N"]) -> list[Comparison]:
    """Ends that the function misses, and those that it sees where the world goes on."""
    found = []
    for part, where in (
        ("terminated_fn where the world ends", played.terminated),
        ("terminated_fn where the world goes on", ~played.terminated),
    ):
        if where.any():
            rows = np.flatnonzero(where)
            here = played._replace(
                obs=played.obs[rows],
                action=played.action[rows],
                next_obs=played.next_obs[rows],
                episode=played.episode[rows],
                step=played.step[rows],
            )
            found.append(_compare(part, here, played.terminated[rows], got[rows], 0.0))
    return found


def _notes_on_ends(played: Played, got: Bool[np.ndarray, " N"]) -> list[str]:
    if not played.terminated.any():
        return ["the world ended no episode, so terminated_fn was not seen to find an end"]
    missed = played.step[played.terminated & ~got]
    if len(missed) > 1 and (missed == missed[0]).all():
        return [
            f"the ends that terminated_fn misses all come after {missed[0] + 1} actions; "
            f"if that is a time limit, the environment must call it truncated, not terminated"
        ]
    return []


def _compare_computed(task: Task, function: TaskFunction, played: Played) -> list[Comparison]:
    """Hands compute_fn what the model would: its components are still those of obs."""
    predicted = played.next_obs.copy()
    columns = list(task.computed)
    predicted[:, columns] = played.obs[:, columns]
    got = _answers(function, played, predicted)
    found = []
    for i in range(task.spec.obs_dim):
        expected = played.next_obs[:, i]
        is_computed = i in task.computed
        part = f"compute_fn, component {task.spec.obs_name(i)}" + (
            "" if is_computed else " (not in computed)"
        )
        comparison = _compare(part, played, expected, got[:, i], _tolerance(expected))
        if is_computed or comparison.num_wrong:
            found.append(comparison)
    return found
