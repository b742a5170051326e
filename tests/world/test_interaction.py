"""Seeds, budgets, and simulators that go wrong."""

# ruff: noqa: ARG001, ARG002, ARG005
# (Fakes take what the interface hands them.)

import dataclasses
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import jax.numpy as jnp
import numpy as np
import pytest

from duopoly.types import Controller, Decision, Episode
from duopoly.world.buffer import Buffer
from duopoly.world.environments import ENV_STEPS
from duopoly.world.interaction import (
    MAX_CONSECUTIVE_DROPS,
    DroppedEpisode,
    SimulatorError,
    collect,
    evaluate,
    memoryless,
    run_episode,
)
from duopoly.world.seeds import EpisodeSeed
from duopoly.world.task import Task
from duopoly.world.tasks import get_task

REACHER = get_task("Reacher7DOF")
HOPPER = get_task("Hopper-v5")


def noise(num_actions: int):
    return lambda obs, rng: rng.normal(size=num_actions)


class Counter(gym.Env):
    """Counts its steps; ``fault`` may replace what a step returns or raise."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gym.spaces.Box(-1, 1, (1,))

    def __init__(
        self, fault: Callable[[int], Any] = lambda _: None, first: float = 0.0, end: int = 10**9
    ) -> None:
        self._fault, self._first, self._end = fault, first, end
        self._time = 0
        self._obs = np.zeros(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._time = 0
        self._obs[:] = [self._first, self.np_random.uniform()]
        return self._obs, {}

    def step(self, action: np.ndarray) -> Any:
        self._time += 1
        self._obs[0] = self._time
        fault = self._fault(self._time)
        if fault is not None:
            return fault
        return self._obs, 1.0, self._time >= self._end, False, {}


def counter_task(horizon: int = 10, **kwargs: Any) -> Task:
    return Task("Counter", "counts", lambda _: Counter(**kwargs), horizon)


def same(one: Episode, other: Episode) -> bool:
    arrays = ("obs", "action", "reward", "next_obs")
    return all(np.array_equal(getattr(one, a), getattr(other, a)) for a in arrays)


@pytest.mark.parametrize("name", ["Reacher7DOF", "Hopper-v5", "InvertedPendulum-v5"])
def test_an_episode_is_bit_equal_whatever_ran_before(name: str) -> None:
    task = get_task(name)
    policy = noise(task.spec.action_dim)
    long = collect(task.make(None), task, memoryless(policy), 300, seed=3, round_index=7).episodes
    assert len(long) > 2
    env = task.make(None)
    collect(env, task, memoryless(policy), 20, seed=0, round_index=0)
    alone = run_episode(env, task, memoryless(policy), EpisodeSeed(3, "collect", 7, 1))
    assert isinstance(alone, Episode)
    assert same(alone, long[1])


def test_every_part_of_the_address_changes_the_episode() -> None:
    base = EpisodeSeed(0, "collect", 0, 0)
    others = [base._replace(seed=1), base._replace(stream="evaluate"),
              base._replace(round_index=1), base._replace(episode=1)]  # fmt: skip
    env = REACHER.make(None)
    episodes = [run_episode(env, REACHER, memoryless(noise(7)), seed) for seed in (base, *others)]
    assert all(isinstance(episode, Episode) for episode in episodes)
    assert len({episode.obs[0].tobytes() for episode in episodes}) == 5  # pyright: ignore
    assert len({episode.action.tobytes() for episode in episodes}) == 5  # pyright: ignore


@pytest.mark.parametrize(
    ("stream", "key", "round_index"),
    [
        ("collect", 0, 3),
        ("evaluate", 1, 3),
        ("show", 2, 3),
        ("final", 1, 1_000_000_003),
        ("diagnose", 1, 1_000_000_004),
        ("diagnose_mean", 1, 1_000_000_005),
    ],
)
def test_a_stream_has_its_place_among_a_seeds_episodes(
    stream: Any, key: int, round_index: int
) -> None:
    address = EpisodeSeed(7, stream, 3, 4)
    env_seed, rng = address.spawn()
    world, noise = np.random.SeedSequence(7, spawn_key=(key, round_index, 4)).spawn(2)
    assert env_seed == world.generate_state(1)[0]
    assert rng.random() == np.random.default_rng(noise).random()
    assert str(address) == f"episode 4 ({stream}, round 3, seed 7)"


@pytest.mark.parametrize("gather", [collect, evaluate])
def test_every_episode_begins_with_an_empty_memory(gather: Any) -> None:
    task, told = counter_task(horizon=4), []

    def act(
        obs: np.ndarray, memory: Any, rng: np.random.Generator, deterministic: bool
    ) -> Decision:
        told.append((obs[0], float(memory[0]), deterministic))
        return Decision(np.zeros(1), memory + 1.0, obs[0])

    controller = Controller(act, np.zeros(1))
    result = gather(task.make(None), task, controller, {collect: 12, evaluate: 3}[gather], 0, 0)
    assert told == [(time, time, gather is evaluate) for time in (0.0, 1.0, 2.0, 3.0)] * 3
    assert [episode.seen for episode in result.episodes] == [(0.0, 1.0, 2.0, 3.0)] * 3


@pytest.mark.parametrize("told", [0, -3, 7.5, "three", None])
def test_an_environment_may_count_its_steps_under_any_name(told: Any) -> None:
    """Only wrappers of our own are asked for how long an action was held."""
    task = counter_task(fault=lambda time: (np.zeros(2), 1.0, False, False, {"env_steps": told}))
    result = collect(task.make(None), task, memoryless(noise(1)), 30, 0, 0)
    assert [episode.num_env_steps for episode in result.episodes] == [10, 10, 10]


@pytest.mark.parametrize("told", [0, 2, 0.5, "three"])
def test_a_wrong_count_of_held_steps_is_told(told: Any) -> None:
    task = counter_task(fault=lambda time: (np.zeros(2), 1.0, False, False, {ENV_STEPS: told}))
    with pytest.raises(SimulatorError, match=rf"env_steps'\] = {told}: must be .* in \[1, 1\]"):
        collect(task.make(None), task, memoryless(noise(1)), 30, 0, 0)


def test_a_reward_that_is_no_single_number_is_told() -> None:
    task = counter_task(fault=lambda time: (np.zeros(2), np.ones(1), False, False, {}))
    with pytest.raises(SimulatorError, match=r"reward of shape \(1,\), expected a single number"):
        collect(task.make(None), task, memoryless(noise(1)), 30, 0, 0)


def test_the_budget_is_used_exactly_and_cuts_the_last_episode() -> None:
    result = collect(REACHER.make(None), REACHER, memoryless(noise(7)), 120, 0, 0)
    assert [len(episode.obs) for episode in result.episodes] == [50, 50, 20]
    assert [episode.truncated for episode in result.episodes] == [True, True, False]
    assert [episode.complete for episode in result.episodes] == [True, True, False]
    assert result.num_env_steps == 120


@pytest.mark.parametrize("budget", [1, 2, 101, 300])
def test_held_actions_leave_fewer_steps_than_one_action_needs(budget: int) -> None:
    result = collect(HOPPER.make(None), HOPPER, memoryless(noise(3)), budget, 0, 0)
    assert 0 <= budget - result.num_env_steps < HOPPER.action_repeat
    for episode in result.episodes:
        cut = 2 * len(episode.obs) - episode.num_env_steps
        assert cut in ((0, 1) if episode.terminated else (0,))


def test_an_environment_that_says_nothing_makes_all_steps_of_a_held_action() -> None:
    task = dataclasses.replace(counter_task(horizon=4), action_repeat=3)
    result = collect(task.make(None), task, memoryless(noise(1)), 20, 0, 0)
    assert [len(episode.obs) for episode in result.episodes] == [4, 2]
    assert result.num_env_steps == 18


def test_the_horizon_ends_an_episode_that_the_world_does_not() -> None:
    task = counter_task(horizon=7)
    (episode,) = evaluate(task.make(None), task, memoryless(noise(1)), 1, 0, 0).episodes
    assert len(episode.obs) == 7
    assert episode.truncated
    assert not episode.terminated


def test_a_fall_on_the_last_action_is_a_fall() -> None:
    task = counter_task(horizon=7, end=7)
    (episode,) = evaluate(task.make(None), task, memoryless(noise(1)), 1, 0, 0).episodes
    assert episode.terminated
    assert not episode.truncated


def test_arrays_that_the_environment_reuses_are_copied_and_follow_each_other() -> None:
    task = counter_task(horizon=5)
    (episode,) = evaluate(task.make(None), task, memoryless(noise(1)), 1, 0, 0).episodes
    np.testing.assert_array_equal(episode.obs[:, 0], np.arange(5))
    np.testing.assert_array_equal(episode.next_obs[:, 0], np.arange(1, 6))
    assert {episode.obs.dtype, episode.action.dtype, episode.reward.dtype} == {np.dtype("f4")}
    assert episode.return_ == 5.0


def test_terminal_transitions_are_in_the_data_with_their_own_next_obs() -> None:
    task = counter_task(end=3)
    episodes = collect(task.make(None), task, memoryless(noise(1)), 9, 0, 0).episodes
    assert [episode.terminated for episode in episodes] == [True] * 3
    data = Buffer.empty(2, 1, 100).add(episodes).latest(9)
    np.testing.assert_array_equal(data.next_obs[:, 0], [1, 2, 3] * 3)

    fallen = collect(HOPPER.make(None), HOPPER, memoryless(noise(3)), 500, 0, 0).episodes[0]
    assert fallen.terminated
    assert HOPPER.terminated_fn is not None
    last = (fallen.obs[-1], fallen.action[-1], fallen.next_obs[-1])
    assert HOPPER.terminated_fn(*map(jnp.asarray, last))


def test_actions_are_stored_as_drawn_and_taken_in_the_environments_units() -> None:
    taken = []

    class Recorder(Counter):
        action_space = gym.spaces.Box(0, 10, (1,))

        def step(self, action: np.ndarray) -> Any:
            taken.append(action.copy())
            return super().step(action)

    task = Task("Recorder", "", lambda _: Recorder(), horizon=3)
    wanted = iter([-7.0, 0.5, 7.0])
    policy = lambda obs, rng: np.array([next(wanted)])  # noqa: E731
    (episode,) = evaluate(task.make(None), task, memoryless(policy), 1, 0, 0).episodes
    np.testing.assert_array_equal(episode.action[:, 0], [-7.0, 0.5, 7.0])
    np.testing.assert_array_equal(np.concatenate(taken), [0.0, 7.5, 10.0])


class Poke(gym.Wrapper):
    """Throws the simulation off course at one step of every ``every``-th episode."""

    def __init__(self, env: gym.Env, at: int, every: int) -> None:
        super().__init__(env)
        self._at, self._every = at, every
        self._episode, self._time = -1, 0

    def reset(self, **kwargs: Any) -> Any:
        self._episode += 1
        self._time = 0
        return self.env.reset(**kwargs)

    def step(self, action: np.ndarray) -> Any:
        if self._episode % self._every == 1 and self._time == self._at:
            self.env.unwrapped.data.qvel[0] = 1e14  # pyright: ignore
        self._time += 1
        return self.env.step(action)


@pytest.mark.parametrize("task", [REACHER, HOPPER], ids=["reacher", "hopper"])
def test_a_diverging_simulation_is_dropped_counted_and_named(
    task: Task, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo leaves its own log where it runs
    env = Poke(task.make(None), at=2, every=4)
    policy = noise(task.spec.action_dim)
    result = collect(env, task, memoryless(policy), 400, 0, 5)
    assert len(result.drops) >= 1
    drop = result.drops[0]
    assert (drop.step, drop.seed.episode, drop.seed.round_index) == (2, 1, 5)
    assert "BADQVEL" in str(drop)
    assert "action 2" in str(drop)
    assert drop.num_env_steps == 3 * task.action_repeat
    assert 0 <= 400 - result.num_env_steps < task.action_repeat
    clean = collect(task.make(None), task, memoryless(policy), 400, 0, 5).episodes
    assert same(result.episodes[0], clean[0])
    assert same(result.episodes[1], clean[2])
    data = Buffer.empty(task.spec.obs_dim, task.spec.action_dim, 500).add(result.episodes)
    assert len(data) == sum(len(episode.obs) for episode in result.episodes)
    assert np.abs(data.obs).max() < 1e3


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("field", ["obs", "reward", "action", "first"])
def test_unbelievable_numbers_drop_the_episode(field: str, value: float) -> None:
    def fault(time: int) -> Any:
        if time != 4 or field not in ("obs", "reward"):
            return None
        obs = np.array([value if field == "obs" else 0.0, 0.0])
        return obs, value if field == "reward" else 1.0, False, False, {}

    def policy(obs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.array([value if field == "action" and obs[0] == 3 else rng.normal()])

    task = counter_task(fault=fault, first=value if field == "first" else 0.0)
    outcome = run_episode(
        task.make(None), task, memoryless(policy), EpisodeSeed(0, "collect", 0, 0)
    )
    assert isinstance(outcome, DroppedEpisode)
    assert outcome.step == (0 if field == "first" else 3)
    assert outcome.num_env_steps == {"first": 0, "action": 3}.get(field, 4)
    assert field in outcome.reason.replace("observation", "obs")


def test_mujoco_never_sees_an_action_that_is_not_a_number() -> None:
    policy = lambda obs, rng: np.full(7, np.nan)  # noqa: E731
    outcome = run_episode(
        REACHER.make(None), REACHER, memoryless(policy), EpisodeSeed(0, "collect", 0, 0)
    )
    assert isinstance(outcome, DroppedEpisode)
    assert outcome.num_env_steps == 0


def test_an_action_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"action of shape \(1,\), expected \(7,\)"):
        collect(REACHER.make(None), REACHER, memoryless(noise(1)), 50, 0, 0)


@pytest.mark.parametrize("gather", [collect, evaluate])
def test_too_many_drops_in_a_row_stop_the_run(gather: Any) -> None:
    task = counter_task(first=np.nan)
    with pytest.raises(SimulatorError, match=f"{MAX_CONSECUTIVE_DROPS} episodes in a row") as error:
        gather(task.make(None), task, memoryless(noise(1)), 1_000, 0, 0)
    assert "\n" not in str(error.value)


def test_scattered_drops_do_not_stop_the_run() -> None:
    env_steps = iter(range(1, 10**9))

    def fault(time: int) -> Any:
        broken = (np.full(2, np.nan), 0.0, False, False, {})
        return broken if next(env_steps) % 15 == 0 else None

    task = counter_task(fault=fault)
    result = collect(task.make(None), task, memoryless(noise(1)), 1_000, 0, 0)
    assert len(result.drops) > MAX_CONSECUTIVE_DROPS
    assert result.num_env_steps == 1_000


def test_two_drops_far_apart_do_not_stop_the_run() -> None:
    """Nor do they where as many episodes lie between them as may be dropped in a row."""
    episodes = iter(range(2 * MAX_CONSECUTIVE_DROPS))
    dropped = {1, MAX_CONSECUTIVE_DROPS}

    def fault(time: int) -> Any:
        is_broken = time == 1 and next(episodes) in dropped
        return (np.full(2, np.nan), 0.0, False, False, {}) if is_broken else None

    task = counter_task(fault=fault)
    result = collect(task.make(None), task, memoryless(noise(1)), 150, 0, 0)
    assert [drop.seed.episode for drop in result.drops] == sorted(dropped)


def raise_at_4(time: int) -> None:
    if time == 4:
        raise OSError("cable came loose")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (raise_at_4, "Counter: step failed at action 3 of episode 0 .*OSError: cable came loose"),
        (lambda _: (np.zeros(2), 0.0, False, {}), "Counter: step failed at action 0.*unpack"),
        (lambda _: (np.zeros(3), 0.0, False, False, {}), r"shape \(3,\), expected \(2,\)"),
    ],
)
def test_an_environment_that_raises_is_named(fault: Any, words: str) -> None:
    task = counter_task(fault=fault)
    with pytest.raises(SimulatorError, match=words):
        collect(task.make(None), task, memoryless(noise(1)), 20, 0, 0)


def test_an_environment_that_cannot_reset_is_named() -> None:
    class Stuck(Counter):
        def reset(self, **kwargs: Any) -> Any:
            raise OSError("no such robot")

    task = Task("Stuck", "", lambda _: Stuck(), 5)
    with pytest.raises(SimulatorError, match=r"Stuck: reset failed in episode 0 .*no such robot"):
        evaluate(task.make(None), task, memoryless(noise(1)), 1, 0, 0)
