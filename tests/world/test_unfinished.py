"""Episodes that go on over the ends of rounds."""

# ruff: noqa: ARG002
# (Fakes take what the interface hands them.)

import dataclasses
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from duopoly.types import Controller, Episode
from duopoly.world.buffer import Buffer
from duopoly.world.interaction import alone, collect, collect_by, memoryless
from duopoly.world.task import Task
from duopoly.world.tasks import get_task
from duopoly.world.unfinished import take_up, unfinished

SEED = 4


def swinging(action_dim: int) -> Controller:
    """Acts by what it sees, so that a path tells where it began."""
    return memoryless(lambda obs, _rng: np.tanh(3.0 * np.resize(obs, action_dim)))


def rounds_of(task: Task, budgets: list[int], env: gym.Env | None = None) -> list[Buffer]:
    """The data after each of some collections that go on with what was cut short."""
    env = env or task.make(None)
    controller = swinging(task.spec.action_dim)
    buffer = Buffer.empty(task.spec.obs_dim, task.spec.action_dim, 10_000)
    found = []
    for index, budget in enumerate(budgets):
        cut = unfinished(buffer, index, task)
        begun = None if cut is None else take_up(env, task, cut, SEED)
        play = alone(lambda _: env, task, controller, begun=begun)
        result = collect_by(play, task, budget, SEED, index)
        buffer = buffer.add(result.episodes)
        found.append(buffer)
    return found


@pytest.mark.parametrize("name", ["Hopper-v5", "Pendulum-v1"])
def test_an_episode_that_was_cut_short_goes_on_as_if_it_had_not_been(name: str) -> None:
    task = dataclasses.replace(get_task(name).held(1), horizon=30)
    *_, pieces = rounds_of(task, [10, 5, 12, 3])
    whole = collect(task.make(None), task, swinging(task.spec.action_dim), 30, SEED, 0)
    for field in ("obs", "action", "reward", "next_obs"):
        np.testing.assert_array_equal(
            getattr(pieces, field), np.concatenate([getattr(e, field) for e in whole.episodes])
        )
    assert list(pieces.sizes) == [10, 5, 12, 3]
    assert pieces.first.sum() == len(whole.episodes)


def test_it_ends_where_it_would_have_and_another_begins() -> None:
    task = dataclasses.replace(get_task("Pendulum-v1"), horizon=8)
    first, second, third = rounds_of(task, [5, 5, 6])
    np.testing.assert_array_equal(np.flatnonzero(third.first), [0, 8])
    assert unfinished(first, 1, task) is not None
    cut = unfinished(second, 2, task)
    assert cut is not None
    assert (len(cut.played.obs), cut.round_index, cut.number) == (2, 1, 1)
    assert unfinished(third, 3, task) is None


def test_a_piece_knows_the_whole_episode() -> None:
    task = dataclasses.replace(get_task("Pendulum-v1"), horizon=8)
    env, controller = task.make(None), swinging(1)
    begin = collect(env, task, controller, 5, SEED, 0)
    buffer = Buffer.empty(3, 1, 100).add(begin.episodes)
    cut = unfinished(buffer, 1, task)
    assert cut is not None
    begun = take_up(env, task, cut, SEED)
    rest = collect_by(alone(lambda _: env, task, controller, begun=begun), task, 3, SEED, 1)
    (piece,) = rest.episodes
    assert (len(piece.obs), piece.num_known, piece.num_env_steps, len(piece.seen)) == (8, 5, 3, 3)
    assert piece.truncated
    assert rest.num_env_steps == 3


class Forgetful(gym.Env[Any, Any]):
    """Comes out otherwise every time."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,))
    action_space = gym.spaces.Box(-1.0, 1.0, (1,))
    noise = np.random.default_rng(0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return self.np_random.uniform(size=1), {}

    def step(self, action: np.ndarray) -> Any:
        return self.noise.uniform(size=1), 0.0, False, False, {}


def test_where_it_does_not_come_out_the_same_another_begins() -> None:
    task = Task("Forgetful", "forgets", lambda _: Forgetful(), 20)
    _, after = rounds_of(task, [5, 5])
    np.testing.assert_array_equal(np.flatnonzero(after.first), [0, 5])


def test_numbers_of_dropped_episodes_are_found_again() -> None:
    task = Task("Faulty", "diverges in its first episodes", lambda _: Faulty(), 20)
    first, after = rounds_of(task, [12, 6], Faulty())
    np.testing.assert_array_equal(np.flatnonzero(after.first), [0])
    assert len(after) == len(first) + 6


class Faulty(Forgetful):
    """Diverges at the second step of its first three episodes; else what it shows is its time."""

    def __init__(self) -> None:
        self.episodes, self.time, self.first = 0, 0, np.zeros(1)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.episodes, self.time = self.episodes + 1, 0
        self.first, info = super().reset(seed=seed)
        return self.first, info

    def step(self, action: np.ndarray) -> Any:
        self.time += 1
        diverges = self.episodes <= 3 and self.time == 2
        return self.first + (np.nan if diverges else self.time), 0.0, False, False, {}


def test_nothing_is_unfinished_where_there_is_nothing_or_it_has_ended() -> None:
    task = get_task("Pendulum-v1")
    empty = Buffer.empty(3, 1, 10)
    assert unfinished(empty, 0, task) is None
    obs, action = np.zeros((2, 3), np.float32), np.zeros((2, 1), np.float32)
    fallen = Episode(obs, action, obs[:, 0], obs, True, False, 2)
    assert unfinished(empty.add([fallen]), 1, task) is None
