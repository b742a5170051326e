"""An episode that the end of a round cut short, and how the next round goes on with it.

An environment cannot be stored, but what brought it where it was can: the episode's seed and its
actions. They are played again, also where the environment is still at hand, so that a game that is
resumed equals one that never stopped.
"""

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from duopoly.types import Episode
from duopoly.world.buffer import Buffer
from duopoly.world.interaction import MAX_CONSECUTIVE_DROPS, Begun, reset, step
from duopoly.world.seeds import EpisodeSeed
from duopoly.world.task import Task


class Unfinished(NamedTuple):
    """The newest episode of the data."""

    played: Episode
    """As far as it was played."""
    round_index: int
    """The round in which it began."""
    number: int
    """Episodes of that round that were played before it, dropped ones left out."""


def unfinished(buffer: Buffer, round_index: int, task: Task) -> Unfinished | None:
    """Returns the episode that was cut short before a round; None if the newest one has ended."""
    begins = np.flatnonzero(buffer.first)
    if len(begins) == 0 or buffer.terminated[-1] or len(buffer) - begins[-1] >= task.horizon:
        return None
    begin = int(begins[-1])
    arrays = buffer.obs, buffer.action, buffer.reward, buffer.next_obs
    obs, action, reward, next_obs = (x[begin:] for x in arrays)
    played = Episode(obs, action, reward, next_obs, False, False, 0)
    ends = np.cumsum(buffer.sizes)
    collection = int(np.searchsorted(ends, begin, side="right"))
    first_row = int(ends[collection] - buffer.sizes[collection])
    # Where a collection goes on with an episode, that one comes before those that begin in it.
    number = int(buffer.first[first_row:begin].sum()) + int(not buffer.first[first_row])
    return Unfinished(played, round_index - len(ends) + collection, number)


def take_up(env: gym.Env[Any, Any], task: Task, cut: Unfinished, seed: int) -> Begun | None:
    """Plays the episode again to where it was cut short.

    None if it does not come out the same, as in a world with noise of its own, or if it had ended.

    Raises:
        SimulatorError: the environment raised.
    """
    played = cut.played
    # Episodes that were dropped are not in the data, and each had a number.
    for number in range(cut.number, cut.number + MAX_CONSECUTIVE_DROPS):
        address = EpisodeSeed(seed, "collect", cut.round_index, number)
        obs = reset(env, task, address, address.spawn()[0])
        if np.array_equal(obs.astype(np.float32), played.obs[0]):
            break
    else:
        return None
    for index, (action, expected) in enumerate(zip(played.action, played.next_obs, strict=True)):
        given = task.spec.for_env(action)
        obs, _, terminated, truncated, _ = step(env, task, address, index, given)
        if terminated or truncated or not np.array_equal(obs.astype(np.float32), expected):
            return None
    return Begun(env, obs, played)
