"""Real transitions under random actions or a policy, to compare a task's functions with."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from duopoly.types import Controller, Episode
from duopoly.world.interaction import collect, memoryless
from duopoly.world.task import Task, TaskError


class Played(NamedTuple):
    """Real transitions, one after another."""

    episodes: list[Episode]
    num_dropped: int
    obs: Float[np.ndarray, "N obs"]
    action: Float[np.ndarray, "N act"]
    """In the environment's units."""
    reward: Float[np.ndarray, " N"]
    next_obs: Float[np.ndarray, "N obs"]
    terminated: Bool[np.ndarray, " N"]
    episode: Int[np.ndarray, " N"]
    step: Int[np.ndarray, " N"]
    first_obs: Float[np.ndarray, "N obs"]
    """What each transition's episode began with."""


def play(task: Task, controllers: Sequence[Controller], num_steps: int, seed: int) -> Played:
    """Plays by several controllers, each for an equal share of the environment steps.

    Raises:
        TaskError: the spaces cannot be played, the steps are too few, or every episode diverged.
        SimulatorError: the environment failed.
    """
    fewest = len(controllers) * task.action_repeat
    if num_steps < fewest:
        raise TaskError(f"{task.name}: num_steps = {num_steps}, must be at least {fewest}")
    episodes: list[Episode] = []
    num_dropped = 0
    env = task.build()
    try:
        for index, controller in enumerate(controllers):
            parts = len(controllers)
            share = num_steps * (index + 1) // parts - num_steps * index // parts
            result = collect(env, task, controller, share, seed, index)
            episodes += result.episodes
            num_dropped += len(result.drops)
    finally:
        env.close()
    if not episodes:
        raise TaskError(f"{task.name}: every episode diverged and was dropped")
    lengths = [len(episode.reward) for episode in episodes]
    actions = np.concatenate([episode.action for episode in episodes])
    step = np.concatenate([np.arange(length) for length in lengths])
    number = np.repeat(np.arange(len(episodes)), lengths)
    is_last = step == np.array(lengths)[number] - 1
    return Played(
        episodes=episodes,
        num_dropped=num_dropped,
        obs=np.concatenate([episode.obs for episode in episodes]),
        action=task.spec.for_env(actions).astype(np.float32),
        reward=np.concatenate([episode.reward for episode in episodes]),
        next_obs=np.concatenate([episode.next_obs for episode in episodes]),
        terminated=is_last & np.array([episode.terminated for episode in episodes])[number],
        episode=number,
        step=step,
        first_obs=np.stack([episode.obs[0] for episode in episodes])[number],
    )


def random_controllers(action_dim: int) -> tuple[Controller, ...]:
    """Large actions, small ones that make episodes last, and pushes that reach far."""

    def large(_: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(-1.0, 1.0, action_dim)

    def small(_: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(-0.3, 0.3, action_dim)

    def push(_: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        # Drawn from the episode's seed, so that it stays the same as long as the episode lasts.
        lasting = rng.bit_generator.seed_seq.generate_state(action_dim) / 2**31 - 1.0  # pyright: ignore
        return lasting + rng.uniform(-0.3, 0.3, action_dim)

    return tuple(map(memoryless, (large, small, push)))
