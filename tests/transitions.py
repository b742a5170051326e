"""Known reward and termination, held against what the real environment says under any policy."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import numpy as np

from duopoly.types import Episode
from duopoly.world.environments import ENV_STEPS
from duopoly.world.interaction import Policy, collect, memoryless
from duopoly.world.task import Task


class Rhythm:
    """Full-blown oscillation of every joint, in an own rhythm per episode, and some noise.

    It drives robots to speeds, contacts and falls to which independent noise, which averages out
    over the joints' inertia, never comes.
    """

    def __init__(self, num_actions: int, scale: float = 1.0, noise: float = 0.2) -> None:
        self._num_actions, self._scale, self._noise = num_actions, scale, noise
        self._rng: np.random.Generator | None = None
        self._time = 0
        self._speed = self._phase = np.zeros(num_actions)

    def __call__(self, obs: np.ndarray, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG002
        if rng is not self._rng:  # each episode has its own
            self._rng, self._time = rng, 0
            self._speed = rng.uniform(0.1, 0.6) * rng.choice([0.5, 1.0, 2.0], self._num_actions)
            self._phase = rng.uniform(0.0, 2 * np.pi, self._num_actions)
        self._time += 1
        wave = 1.5 * np.sin(self._speed * self._time + self._phase)
        return self._scale * (wave + self._noise * rng.normal(size=self._num_actions))


def uniform(num_actions: int, scale: float = 1.0) -> Policy:
    """Independent noise, drawn anew for every action."""
    return lambda obs, rng: scale * rng.uniform(-1, 1, num_actions)  # noqa: ARG005


class Played(NamedTuple):
    """Transitions in the order played, in float32 as the data has them; N actions."""

    obs: np.ndarray
    action: np.ndarray
    """In the environment's units."""
    next_obs: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    num_env_steps: np.ndarray


def collect_twice(task: Task, num_env_steps: int) -> list[Episode]:
    """Episodes under independent noise, from two collections of that many environment steps."""

    def play(seed: int) -> list[Episode]:
        noise = memoryless(uniform(task.spec.action_dim))
        return collect(task.make(None), task, noise, num_env_steps, seed, 0).episodes

    with ThreadPoolExecutor(2) as pool:  # the simulator frees Python's lock
        return [episode for part in pool.map(play, range(2)) for episode in part]


def arrays(episodes: list[Episode]) -> list[np.ndarray]:
    """Observations, actions, next observations and rewards of all steps."""
    names = ("obs", "action", "next_obs", "reward")
    return [np.concatenate([getattr(episode, name) for episode in episodes]) for name in names]


def play(task: Task, policy: Policy, num_actions: int, seed: int = 0) -> Played:
    """Steps the bare environment, starting anew where the world or the horizon ends an episode.

    A loop of its own, apart from `duopoly.world.interaction`, so that neither vouches for itself.
    """
    env, spec = task.make(None), task.spec
    middle, half = (
        (spec.action_high + spec.action_low) / 2,
        (spec.action_high - spec.action_low) / 2,
    )
    rows, episode, done, obs, rng = [], 0, True, np.empty(0), np.random.default_rng()
    while len(rows) < num_actions:
        if done:
            obs, _ = env.reset(seed=1_000 * seed + episode)
            rng, episode = np.random.default_rng((seed, episode)), episode + 1
        action = (middle + half * policy(obs, rng).clip(-1.0, 1.0)).astype(np.float32)
        next_obs, reward, terminated, truncated, info = env.step(action)
        num_env_steps = info.get(ENV_STEPS, task.action_repeat)
        rows.append((obs, action, next_obs, reward, terminated, num_env_steps))
        obs, done = next_obs, terminated or truncated
    env.close()
    obs, action, next_obs, reward, terminated, num_env_steps = map(
        np.array, zip(*rows, strict=True)
    )
    floats = (array.astype(np.float32) for array in (obs, action, next_obs, reward))
    return Played(*floats, terminated, num_env_steps)


def disagreement(task: Task, played: Played) -> tuple[float, int]:
    """The largest error of the task's known reward, and how often it is wrong on termination."""

    @jax.jit
    @jax.vmap
    def known(*transition: jax.Array) -> tuple[jax.Array, jax.Array]:
        assert task.reward_fn is not None
        assert task.terminated_fn is not None
        return task.reward_fn(*transition), task.terminated_fn(*transition)

    reward, terminated = known(*played[:3])
    return float(np.abs(reward - played.reward).max()), int((terminated != played.terminated).sum())


def join(*parts: Played) -> Played:
    """One after another."""
    return Played(*map(np.concatenate, zip(*parts, strict=True)))
