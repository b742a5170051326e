"""The only code that steps an environment."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from jaxtyping import Float

from duopoly.types import Controller, Decision, Episode
from duopoly.world import watch
from duopoly.world.belief import Alarm, is_believable, read_obs, read_reward, unbelievable
from duopoly.world.environments import ENV_STEPS
from duopoly.world.played import DivergedError as DivergedError
from duopoly.world.played import DroppedEpisode as DroppedEpisode
from duopoly.world.played import Fault, Outcome, Step, cut, played
from duopoly.world.played import SimulatorError as SimulatorError
from duopoly.world.seeds import EpisodeSeed, Stream
from duopoly.world.task import Task

MAX_CONSECUTIVE_DROPS = 10

Policy = Callable[[Float[np.ndarray, " obs"], np.random.Generator], Float[np.ndarray, " act"]]
"""Chooses an action in policy units: [-1, 1] spans the action space, what lies outside is clipped.

It is given the observation and the episode's own source of noise.
"""


def memoryless(policy: Policy) -> Controller:
    """Returns the controller that acts by a function of the observation, noise or not."""
    return Controller(lambda obs, memory, rng, _deterministic: Decision(policy(obs, rng), memory))


class Begun(NamedTuple):
    """An episode that goes on where it was cut short."""

    env: gym.Env[Any, Any]
    """Where it stands."""
    obs: Float[np.ndarray, " obs"]
    played: Episode
    """What is known of it already."""


class CollectResult(NamedTuple):
    """What was played: episodes in their order, and those dropped among them."""

    episodes: list[Episode]
    drops: list[DroppedEpisode]

    @property
    def num_env_steps(self) -> int:
        """Environment steps made, those of dropped episodes included."""
        return sum(outcome.num_env_steps for outcome in (*self.episodes, *self.drops))


class Turn(NamedTuple):
    """An episode that is due."""

    seed: EpisodeSeed
    num_before: int
    """Environment steps of its collection before it."""
    max_env_steps: int
    """Those after which it is cut short."""
    num_ahead: int | None
    """Episodes that follow it, each of as many steps; None: as many as there are steps for, of
    which all together have what this one has."""


PlayFn = Callable[[Turn], Outcome]
"""Plays the episode that is due. It is asked for one after another, in their order."""


def alone(
    env_after: Callable[[int], gym.Env[Any, Any]],
    task: Task,
    controller: Controller,
    *,
    deterministic: bool = False,
    begun: Begun | None = None,
) -> PlayFn:
    """Returns what plays each episode when it is due, in this process.

    ``env_after(n)`` is where an episode is played that begins after n steps of its collection. One
    that has ``begun`` goes on first.
    """

    def play(turn: Turn) -> Outcome:
        first = begun if turn.seed.episode == 0 else None
        return run_episode(
            first.env if first else env_after(turn.num_before),
            task,
            controller,
            turn.seed,
            turn.max_env_steps,
            deterministic=deterministic,
            begun=first,
        )

    return play


def collect(
    env: gym.Env[Any, Any],
    task: Task,
    controller: Controller,
    num_env_steps: int,
    seed: int,
    round_index: int,
) -> CollectResult:
    """`collect_by` in this process, in a world that stays as it is.

    Raises:
        SimulatorError: as for `collect_by`.
    """
    play = alone(lambda _: env, task, controller)
    return collect_by(play, task, num_env_steps, seed, round_index)


def collect_by(
    play: PlayFn, task: Task, num_env_steps: int, seed: int, round_index: int
) -> CollectResult:
    """Plays episodes until a budget of environment steps is used; the last one is cut by it.

    An action held for k steps is only begun while k steps remain: up to k - 1 stay unused.

    Raises:
        SimulatorError: the environment raised, or `MAX_CONSECUTIVE_DROPS` episodes in a row
            were dropped.
    """
    result = CollectResult([], [])
    remaining = num_env_steps
    while remaining >= task.action_repeat:
        address = _next_address(result, seed, "collect", round_index)
        outcome = play(Turn(address, num_env_steps - remaining, remaining, None))
        remaining -= outcome.num_env_steps
        _add(result, outcome, task)
    return result


def evaluate(
    env: gym.Env[Any, Any],
    task: Task,
    controller: Controller,
    num_episodes: int,
    seed: int,
    round_index: int = 0,
    *,
    stream: Stream = "evaluate",
    deterministic: bool = True,
) -> CollectResult:
    """`evaluate_by` in this process; ``deterministic`` leaves out the noise that explores.

    Raises:
        SimulatorError: as for `collect_by`.
    """
    play = alone(lambda _: env, task, controller, deterministic=deterministic)
    return evaluate_by(play, task, num_episodes, seed, round_index, stream=stream)


def evaluate_by(
    play: PlayFn,
    task: Task,
    num_episodes: int,
    seed: int,
    round_index: int = 0,
    *,
    stream: Stream = "evaluate",
    on_episode: Callable[[int], None] = lambda _: None,
) -> CollectResult:
    """Plays complete episodes; a dropped one is reported and replaced by another.

    ``on_episode`` is told after each how many are complete.

    Raises:
        SimulatorError: as for `collect_by`.
    """
    result = CollectResult([], [])
    length = task.horizon * task.action_repeat
    while (num_ahead := num_episodes - len(result.episodes) - 1) >= 0:
        address = _next_address(result, seed, stream, round_index)
        _add(result, play(Turn(address, 0, length, num_ahead)), task)
        on_episode(len(result.episodes))
    return result


def run_episode(
    env: gym.Env[Any, Any],
    task: Task,
    controller: Controller,
    seed: EpisodeSeed,
    max_env_steps: int | None = None,
    *,
    deterministic: bool = False,
    begun: Begun | None = None,
) -> Outcome:
    """Plays one episode, from its first step or from where it has ``begun``.

    To its end, or to that of the budget.

    Raises:
        SimulatorError: the environment raised.
    """
    budget = task.horizon * task.action_repeat if max_env_steps is None else max_env_steps
    playing = rollout(env, task, controller, seed, budget, deterministic=deterministic, begun=begun)
    steps, fault = [], None
    try:
        for one in playing:
            steps.append(one)
    except DivergedError as error:
        fault = Fault(error.reason, error.step, error.num_env_steps)
    known = None if begun is None else begun.played
    return cut(played(steps, fault), seed, budget, task.action_repeat, known)


def rollout(
    env: gym.Env[Any, Any],
    task: Task,
    controller: Controller,
    seed: EpisodeSeed,
    max_env_steps: int | None = None,
    *,
    deterministic: bool = False,
    begun: Begun | None = None,
) -> Iterator[Step]:
    """Resets the environment, or goes on in one, and yields one step after another.

    Ends where the world, the horizon or the environment's time limit ends the episode, or where
    the budget lacks the steps of another action (then neither flag is set).

    Raises:
        DivergedError: MuJoCo refused the state or control, or an observation, reward or action
            is not a number of believable size.
        SimulatorError: the environment raised, or its observation has the wrong shape.
        ValueError: the policy's action has the wrong shape.
    """
    spec = task.spec
    budget = task.horizon * task.action_repeat if max_env_steps is None else max_env_steps
    env_seed, rng = seed.spawn()
    obs = reset(env, task, seed, env_seed) if begun is None else begun.obs
    num_known = 0 if begun is None else len(begun.played.obs)
    alarm = Alarm(env)
    memory, num_used = controller.memory, 0
    for index in range(num_known, task.horizon):
        if num_used + task.action_repeat > budget:
            return
        answer, memory, decision = controller.act(obs, memory, rng, deterministic)
        action = np.asarray(answer, dtype=np.float64)
        if action.shape != (spec.action_dim,):
            raise ValueError(f"action of shape {action.shape}, expected ({spec.action_dim},)")
        if not is_believable(action):
            raise DivergedError(
                "the policy's action is not finite or beyond belief", index, num_used
            )
        action = action.astype(np.float32)
        next_obs, reward, terminated, truncated, num_made = step(
            env, task, seed, index, spec.for_env(action)
        )
        num_used += num_made
        if reason := alarm.reason() or unbelievable(next_obs, reward):
            raise DivergedError(reason, index, num_used)
        truncated = not terminated and (truncated or index + 1 == task.horizon)
        yield Step(obs, action, reward, next_obs, terminated, truncated, num_made, decision)
        if terminated or truncated:
            return
        obs = next_obs


def reset(
    env: gym.Env[Any, Any], task: Task, seed: EpisodeSeed, env_seed: int
) -> Float[np.ndarray, " obs"]:
    watch.begins(task.name, None, seed)
    try:
        obs, _ = env.reset(seed=env_seed)
        obs = read_obs(obs, task)
    except Exception as error:
        raise SimulatorError(f"{task.name}: reset failed in {seed}: {_name(error)}") from error
    finally:
        watch.returns()
    if not is_believable(obs):
        raise DivergedError("the first observation is not finite or beyond belief", 0, 0)
    return obs


def step(
    env: gym.Env[Any, Any], task: Task, seed: EpisodeSeed, index: int, action: np.ndarray
) -> tuple[Float[np.ndarray, " obs"], float, bool, bool, int]:
    watch.begins(task.name, index, seed)
    try:
        obs, reward, terminated, truncated, info = env.step(action)
        num_made = info.get(ENV_STEPS, task.action_repeat)
        if num_made not in range(1, task.action_repeat + 1):
            raise ValueError(
                f"info[{ENV_STEPS!r}] = {num_made}: must be a whole number in "
                f"[1, {task.action_repeat}], the steps for which the action was held"
            )
        return (
            read_obs(obs, task),
            read_reward(reward),
            bool(terminated),
            bool(truncated),
            int(num_made),
        )
    except Exception as error:
        raise SimulatorError(
            f"{task.name}: step failed at action {index} of {seed}: {_name(error)}"
        ) from error
    finally:
        watch.returns()


def _next_address(
    result: CollectResult, seed: int, stream: Stream, round_index: int
) -> EpisodeSeed:
    return EpisodeSeed(seed, stream, round_index, len(result.episodes) + len(result.drops))


def _add(result: CollectResult, outcome: Outcome, task: Task) -> None:
    if isinstance(outcome, Episode):
        result.episodes.append(outcome)
        return
    result.drops.append(outcome)
    last = result.drops[-MAX_CONSECUTIVE_DROPS:]
    is_in_a_row = outcome.seed.episode - last[0].seed.episode == MAX_CONSECUTIVE_DROPS - 1
    if len(last) == MAX_CONSECUTIVE_DROPS and is_in_a_row:
        raise SimulatorError(
            f"{task.name}: {MAX_CONSECUTIVE_DROPS} episodes in a row were dropped; last: {outcome}"
        )


def _name(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
