"""The only code that steps an environment."""

# pyright: reportAttributeAccessIssue=false
# (MuJoCo's compiled modules carry no types.)

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gymnasium as gym
import mujoco
import numpy as np
from jaxtyping import Float

from duopoly.types import MAX_SIZE, Controller, Decision, Episode
from duopoly.world import watch
from duopoly.world.environments import ENV_STEPS
from duopoly.world.seeds import EpisodeSeed, Stream
from duopoly.world.task import Task

MAX_CONSECUTIVE_DROPS = 10

# The warnings from this one on say that the state or control was refused: BADQPOS, BADQVEL,
# BADQACC and BADCTRL. MuJoCo then resets itself in silence, which leaves nothing else to see.
_FIRST_FATAL_WARNING = int(mujoco.mjtWarning.mjWARN_BADQPOS)


class SimulatorError(RuntimeError):
    """The environment failed in a way that dropping one episode does not cure."""


class DivergedError(SimulatorError):
    """The simulation stopped making sense within an episode."""

    def __init__(self, reason: str, step: int, num_env_steps: int) -> None:
        super().__init__(f"{reason} at action {step}")
        self.reason = reason
        self.step = step
        self.num_env_steps = num_env_steps


Policy = Callable[[Float[np.ndarray, " obs"], np.random.Generator], Float[np.ndarray, " act"]]
"""Chooses an action in policy units: [-1, 1] spans the action space, what lies outside is clipped.

It is given the observation and the episode's own source of noise.
"""


def memoryless(policy: Policy) -> Controller:
    """Returns the controller that acts by a function of the observation, noise or not."""
    return Controller(lambda obs, memory, rng, _deterministic: Decision(policy(obs, rng), memory))


class Step(NamedTuple):
    """One action and what the world made of it."""

    obs: Float[np.ndarray, " obs"]
    action: Float[np.ndarray, " act"]
    """In policy units, as the policy drew it; the world got it clipped to [-1, 1]."""
    reward: float
    next_obs: Float[np.ndarray, " obs"]
    terminated: bool
    truncated: bool
    num_env_steps: int
    seen: Any
    """What the controller observed of its decision."""


@dataclasses.dataclass(frozen=True)
class DroppedEpisode:
    """An episode thrown away whole because the simulation stopped making sense."""

    seed: EpisodeSeed
    reason: str
    step: int
    """Action at which it happened, counted from 0."""
    num_env_steps: int
    """Environment steps lost; they count against the budget."""

    def __str__(self) -> str:
        return f"{self.seed} dropped: {self.reason} at action {self.step}"


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


def collect(
    env: gym.Env[Any, Any],
    task: Task,
    controller: Controller,
    num_env_steps: int,
    seed: int,
    round_index: int,
) -> CollectResult:
    """Plays episodes until a budget of environment steps is used; the last one is cut by it.

    An action held for k steps is only begun while k steps remain: up to k - 1 stay unused.

    Raises:
        SimulatorError: the environment raised, or `MAX_CONSECUTIVE_DROPS` episodes in a row
            were dropped.
    """
    return collect_changing(lambda _: env, task, controller, num_env_steps, seed, round_index)


def collect_changing(
    env_after: Callable[[int], gym.Env[Any, Any]],
    task: Task,
    controller: Controller,
    num_env_steps: int,
    seed: int,
    round_index: int,
    begun: Begun | None = None,
) -> CollectResult:
    """`collect` in a world that may change from one episode to the next.

    ``env_after(n)`` is where an episode is played that begins after n steps of this collection. One
    that has ``begun`` goes on first.

    Raises:
        SimulatorError: as for `collect`.
    """
    result = CollectResult([], [])
    remaining = num_env_steps
    while remaining >= task.action_repeat:
        address = _next_address(result, seed, "collect", round_index)
        env = env_after(num_env_steps - remaining) if begun is None else begun.env
        outcome = run_episode(env, task, controller, address, remaining, begun=begun)
        begun = None
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
    on_episode: Callable[[int], None] = lambda _: None,
) -> CollectResult:
    """Plays complete episodes; a dropped one is reported and replaced by another.

    ``deterministic`` leaves out the noise that explores. ``on_episode`` is told after each how many
    are complete.

    Raises:
        SimulatorError: as for `collect`.
    """
    result = CollectResult([], [])
    while len(result.episodes) < num_episodes:
        address = _next_address(result, seed, stream, round_index)
        outcome = run_episode(env, task, controller, address, deterministic=deterministic)
        _add(result, outcome, task)
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
) -> Episode | DroppedEpisode:
    """Plays one episode, from its first step or from where it has ``begun``.

    To its end, or to that of the budget.

    Raises:
        SimulatorError: the environment raised.
    """
    playing = rollout(
        env, task, controller, seed, max_env_steps, deterministic=deterministic, begun=begun
    )
    try:
        steps = list(playing)
    except DivergedError as error:
        return DroppedEpisode(seed, error.reason, error.step, error.num_env_steps)

    def whole(name: str) -> np.ndarray:
        new = np.array([getattr(step, name) for step in steps], dtype=np.float32)
        return new if begun is None else np.concatenate([getattr(begun.played, name), new])

    return Episode(
        obs=whole("obs"),
        action=whole("action"),
        reward=whole("reward"),
        next_obs=whole("next_obs"),
        terminated=steps[-1].terminated,
        truncated=steps[-1].truncated,
        num_env_steps=sum(step.num_env_steps for step in steps),
        seen=tuple(step.seen for step in steps),
        num_known=0 if begun is None else len(begun.played.obs),
    )


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
    alarm = _Alarm(env)
    memory, num_used = controller.memory, 0
    for index in range(num_known, task.horizon):
        if num_used + task.action_repeat > budget:
            return
        answer, memory, decision = controller.act(obs, memory, rng, deterministic)
        action = np.asarray(answer, dtype=np.float64)
        if action.shape != (spec.action_dim,):
            raise ValueError(f"action of shape {action.shape}, expected ({spec.action_dim},)")
        if not _believable(action):
            raise DivergedError(
                "the policy's action is not finite or beyond belief", index, num_used
            )
        action = action.astype(np.float32)
        next_obs, reward, terminated, truncated, num_made = step(
            env, task, seed, index, spec.for_env(action)
        )
        num_used += num_made
        if reason := alarm.reason() or _unbelievable(next_obs, reward):
            raise DivergedError(reason, index, num_used)
        truncated = not terminated and (truncated or index + 1 == task.horizon)
        yield Step(obs, action, reward, next_obs, terminated, truncated, num_made, decision)
        if terminated or truncated:
            return
        obs = next_obs


class _Alarm:
    """Notices MuJoCo's fatal warnings; silent for environments without MuJoCo data."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
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


def reset(
    env: gym.Env[Any, Any], task: Task, seed: EpisodeSeed, env_seed: int
) -> Float[np.ndarray, " obs"]:
    watch.begins(task.name, None, seed)
    try:
        obs, _ = env.reset(seed=env_seed)
        obs = _read_obs(obs, task)
    except Exception as error:
        raise SimulatorError(f"{task.name}: reset failed in {seed}: {_name(error)}") from error
    finally:
        watch.returns()
    if not _believable(obs):
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
            _read_obs(obs, task),
            _read_reward(reward),
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


def _read_obs(obs: Any, task: Task) -> Float[np.ndarray, " obs"]:
    """A float64 copy, since an environment may reuse its array."""
    copy = np.array(obs, dtype=np.float64)
    if copy.shape != (task.spec.obs_dim,):
        raise ValueError(f"observation of shape {copy.shape}, expected ({task.spec.obs_dim},)")
    return copy


def _read_reward(reward: Any) -> float:
    if np.ndim(reward) > 0:
        raise ValueError(f"reward of shape {np.shape(reward)}, expected a single number")
    return float(reward)


def _believable(array: np.ndarray) -> bool:
    """Whether the array is finite and no larger than MuJoCo would believe."""
    return bool(np.maximum.reduce(np.abs(array)) < MAX_SIZE)


def _unbelievable(obs: np.ndarray, reward: float) -> str | None:
    if not _believable(obs):
        return "the observation is not finite or beyond belief"
    if not abs(reward) < MAX_SIZE:
        return f"the reward is {reward}"
    return None


def _next_address(
    result: CollectResult, seed: int, stream: Stream, round_index: int
) -> EpisodeSeed:
    return EpisodeSeed(seed, stream, round_index, len(result.episodes) + len(result.drops))


def _add(result: CollectResult, outcome: Episode | DroppedEpisode, task: Task) -> None:
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
