"""What `check_task` finds: each way to get a task wrong, by the name of the function."""

# ruff: noqa: ARG001, ARG005
# (The functions of a task take what they are handed.)

import collections
import dataclasses
import math
import time

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import HORIZON, POINT, PointEnv, point_reward, point_terminated

from duopoly.world.checking.check import check_task
from duopoly.world.checking.traceable import check_functions
from duopoly.world.task import Task, TaskError
from duopoly.world.tasks import TASK_NAMES, get_task


def never(obs, action, next_obs):
    return jnp.zeros((), bool)


class WatchedPoint(PointEnv):
    """The point, observing its squared distance from the origin as well."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (4,), np.float64)

    def _observe(self) -> np.ndarray:
        return np.append(super()._observe(), self._x @ self._x)


def fill(obs, action, next_obs):
    return next_obs.at[3].set(jnp.sum(next_obs[:2] ** 2))


WATCHED = dataclasses.replace(
    POINT, name="Watched", make=lambda _: WatchedPoint(), computed=(3,), compute_fn=fill
)


# What the simulator tells of the tip is a substep old; the task computes it from the angles.
APPROXIMATE = "InvertedDoublePendulum-v5"


@pytest.mark.parametrize("name", [name for name in TASK_NAMES if name != APPROXIMATE])
def test_every_built_in_task_agrees_with_its_environment(name: str) -> None:
    report = check_task(get_task(name))
    assert report.ok, str(report)
    assert report.differing == ()
    assert {"reward_fn"} < {found.part for found in report.comparisons}


def test_an_approximation_is_told_with_its_size() -> None:
    report = check_task(get_task(APPROXIMATE))
    assert set(report.differing) <= {
        "compute_fn, component obs[9]",
        "compute_fn, component obs[1]0",
    }
    assert all(found.max_deviation < 2e-4 for found in report.comparisons)


@pytest.mark.parametrize("task", [POINT, WATCHED], ids=lambda task: task.name)
def test_a_right_task_agrees(task: Task) -> None:
    report = check_task(task, 400)
    assert report.ok, str(report)
    assert report.num_actions == 400
    assert report.num_ends > 0
    assert report.notes == ()
    parts = {found.part: found.num_compared for found in report.comparisons}
    assert parts["terminated_fn where the world ends"] == report.num_ends
    assert parts["terminated_fn where the world goes on"] == 400 - report.num_ends
    assert parts["constant component obs[2]"] == parts["reward_fn"] == 400
    assert str(report).startswith(f"{task.name}: 400 actions in {report.num_episodes} ")
    assert "DIFFERS" not in str(report)


WRONG = {
    "sign": ({"reward_fn": lambda o, a, n: -point_reward(o, a, n)}, "reward_fn"),
    "scale": ({"reward_fn": lambda o, a, n: 1.001 * point_reward(o, a, n)}, "reward_fn"),
    "before the action": ({"reward_fn": lambda o, a, n: point_reward(o, a, o)}, "reward_fn"),
    "a cost that is not there": (
        {"reward_fn": lambda o, a, n: point_reward(o, a, n) - 1e-2 * jnp.sum(a**2)}, "reward_fn"
    ),
    "ends too early": (
        {"terminated_fn": lambda o, a, n: jnp.abs(n[0]) > 1.9},
        "terminated_fn where the world goes on",
    ),
    "ends too late": (
        {"terminated_fn": lambda o, a, n: jnp.abs(n[0]) > 2.1},
        "terminated_fn where the world ends",
    ),
    "not constant": ({"constant": (0, 2)}, "constant component obs[0]"),
    "computed from obs": (
        {"compute_fn": lambda o, a, n: n.at[3].set(jnp.sum(o[:2] ** 2))},
        "compute_fn, component obs[3]",
    ),
    "computes nothing": ({"compute_fn": lambda o, a, n: n}, "compute_fn, component obs[3]"),
    "computes too much": (
        {"compute_fn": lambda o, a, n: fill(o, a, n).at[1].add(0.1)},
        "compute_fn, component obs[1] (not in computed)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "part"), WRONG.values(), ids=WRONG.keys())
def test_what_differs_is_named(change: dict[str, object], part: str) -> None:
    report = check_task(dataclasses.replace(WATCHED, **change), 400)  # pyright: ignore
    assert report.differing == (part,), str(report)
    assert not report.ok
    assert f"  {part}: DIFFERS at " in str(report)


def test_where_and_by_how_much() -> None:
    """The reward of the state before the action, against numbers worked out here."""
    task = dataclasses.replace(POINT, reward_fn=lambda o, a, n: point_reward(o, a, o))
    report = check_task(task, 200, seed=3)
    (found,) = [found for found in report.comparisons if found.num_wrong]
    at = found.worst
    assert at is not None
    assert at.expected == pytest.approx(-float(at.next_obs[0] ** 2 + at.next_obs[1] ** 2), rel=1e-5)
    assert at.got == pytest.approx(-float(at.obs[0] ** 2 + at.obs[1] ** 2), rel=1e-5)
    np.testing.assert_allclose(at.next_obs[:2], at.obs[:2] + 0.2 * at.action, rtol=1e-5, atol=1e-6)
    assert np.abs(at.action).max() > 1.0  # the environment's units, not the policy's
    assert found.max_deviation == pytest.approx(abs(at.expected - at.got), rel=1e-6)
    assert 0 < found.mean_deviation < found.max_deviation
    assert 0 <= at.step < HORIZON
    assert 0 <= at.episode < report.num_episodes
    assert f"most in episode {at.episode}, action {at.step}: " in str(report)
    again = check_task(task, 200, seed=3)
    assert str(again) == str(report)
    assert str(check_task(task, 200, seed=4)) != str(report)


def test_a_constant_error_is_its_own_mean() -> None:
    task = dataclasses.replace(POINT, reward_fn=lambda o, a, n: point_reward(o, a, n) + 0.5)
    found = check_task(task, 100).comparisons[0]
    assert (found.num_wrong, found.num_compared) == (100, 100)
    assert found.mean_deviation == pytest.approx(0.5, rel=1e-5)


class DriftingPoint(PointEnv):
    """Its goal creeps by far less than a relative error that would pass, step by step."""

    def _observe(self) -> np.ndarray:
        self._goal = getattr(self, "_goal", 3.0) + 2e-5
        return np.append(self._x, self._goal)


def test_a_component_that_creeps_is_not_constant() -> None:
    task = dataclasses.replace(POINT, make=lambda _: DriftingPoint())
    assert check_task(task, 200).differing == ("constant component obs[2]",)


def test_small_rewards_are_held_to_their_own_scale() -> None:
    """A bonus of 1000 must not hide what is wrong with rewards of a tenth."""

    class Rare(PointEnv):
        def step(self, action):
            obs, _, fell, truncated, info = super().step(action)
            return obs, 1000.0 if fell else 0.1, fell, truncated, info

    def rewards(usual: float):
        return lambda o, a, n: jnp.where(point_terminated(o, a, n), 1000.0, usual)

    task = dataclasses.replace(POINT, make=lambda _: Rare(), reward_fn=rewards(0.1))
    assert check_task(task, 400).ok
    report = check_task(dataclasses.replace(task, reward_fn=rewards(0.11)), 400)
    assert report.differing == ("reward_fn",)


class TimedPoint(PointEnv):
    """Never falls, and calls its time limit of 10 steps a termination or a truncation."""

    def __init__(self, ends: bool) -> None:
        super().__init__()
        self._ends = ends
        self._num_steps = 0

    def reset(self, *, seed=None, options=None):
        self._num_steps = 0
        return super().reset(seed=seed, options=options)

    def step(self, action):
        obs, reward, _, _, info = super().step(action)
        self._num_steps += 1
        is_over = self._num_steps == 10
        return obs, reward, is_over and self._ends, is_over and not self._ends, info


def test_truncation_is_no_termination() -> None:
    task = dataclasses.replace(POINT, make=lambda _: TimedPoint(False), terminated_fn=never)
    report = check_task(task, 120)
    assert report.ok
    assert (report.num_episodes, report.num_ends) == (12, 0)
    assert any("was not seen to find an end" in note for note in report.notes)
    task = dataclasses.replace(POINT, make=lambda _: TimedPoint(True), terminated_fn=never)
    report = check_task(task, 120)
    assert report.differing == ("terminated_fn where the world ends",)
    assert any("after 10 actions; if that is a time limit" in note for note in report.notes)


def test_what_is_unknown_is_noted() -> None:
    report = check_task(dataclasses.replace(POINT, reward_fn=None, terminated_fn=None), 40)
    assert report.ok
    assert [note.split()[0] for note in report.notes] == ["reward_fn", "terminated_fn"]
    with pytest.raises(TaskError, match=r"^Point: num_steps = 1, must be at least 3"):
        check_task(POINT, 1)


CALLS: list[int] = []
RNG = np.random.default_rng(0)
COUNT = 0


class Counter:
    num_calls = 0

    def __init__(self) -> None:
        self.num_own = 0

    def count(self, obs, action, next_obs):
        self.num_own += 1
        return point_reward(obs, action, next_obs)

    def __call__(self, obs, action, next_obs):
        return self.count(obs, action, next_obs)


def appends(obs, action, next_obs):
    CALLS.append(1)
    return point_reward(obs, action, next_obs)


def appends_when_compiled(obs, action, next_obs):
    CALLS.append(2)
    return point_reward(obs, action, next_obs)


def calls_what_appends(obs, action, next_obs):
    return appends(obs, action, next_obs)


def counts(obs, action, next_obs):
    global COUNT
    COUNT += 1
    return point_reward(obs, action, next_obs)


def counts_in_a_class(obs, action, next_obs):
    Counter.num_calls += 1
    return point_reward(obs, action, next_obs)


def counts_in_a_default(obs, action, next_obs, calls=collections.Counter()):  # noqa: B006
    calls["all"] += 1
    return point_reward(obs, action, next_obs)


def prints(obs, action, next_obs):
    print("called")
    return point_reward(obs, action, next_obs)


def leaks(obs, action, next_obs):
    leaks.last = obs
    return point_reward(obs, action, next_obs)


def branches(obs, action, next_obs):
    if next_obs[0] > 0:
        return point_reward(obs, action, next_obs)
    return 0.0


def differs_when_compiled(obs, action, next_obs):
    compiled = isinstance(obs, jax.core.Tracer)
    return point_reward(obs, action, next_obs) * (2.0 if compiled else 1.0)


BROKEN = {
    "vector": ("reward_fn", lambda o, a, n: -(n[:2] ** 2), r"returns shape \(2,\).*jnp.sum"),
    "row": ("reward_fn", lambda o, a, n: n[:1], r"returns shape \(1,\)"),
    "nothing": ("reward_fn", lambda o, a, n: None, "returns nothing"),
    "pair": ("reward_fn", lambda o, a, n: (n[0], n[1]), "returns a tuple"),
    "text": ("reward_fn", lambda o, a, n: "much", "raises TypeError"),
    "complex": ("reward_fn", lambda o, a, n: n[0] * 1j, "returns complex64, must be real"),
    "two arguments": ("reward_fn", lambda o, a: 0.0, "raises TypeError.*3 were given"),
    "raises": ("reward_fn", lambda o, a, n: n["x"], r"raises .*\(test_check_task.py, line \d+\)"),
    "NaN": ("reward_fn", lambda o, a, n: jnp.sqrt(n[0]), "returns nan in episode .*next_obs = "),
    "infinity": ("reward_fn", lambda o, a, n: 1.0 / (n[2] - 3.0), "returns inf in episode 0"),
    "if": ("reward_fn", branches, r"use jnp.where instead of if.*test_check_task.py, line \d+"),
    "and": ("terminated_fn", lambda o, a, n: n[0] > 2 and n[1] > 2, "and &, |, ~"),
    "NumPy": ("reward_fn", lambda o, a, n: np.square(n[0]), "NumPy: use jax.numpy"),
    "float": ("reward_fn", lambda o, a, n: math.exp(n[0]), "Python number .*use jax.numpy"),
    "index": ("reward_fn", lambda o, a, n: [1.0, 2.0][n[0].astype(int)], "Python index"),
    "mask": ("reward_fn", lambda o, a, n: n[n > 0].sum(), "mask: use jnp.where"),
    "appends": ("reward_fn", appends, "changes CALLS"),
    "calls what appends": ("reward_fn", calls_what_appends, "changes CALLS"),
    "jit of it": ("reward_fn", jax.jit(appends_when_compiled), "changes CALLS"),
    "global": ("reward_fn", counts, "changes COUNT"),
    "class": ("reward_fn", counts_in_a_class, "changes Counter"),
    "default": ("reward_fn", counts_in_a_default, "changes its defaults"),
    "method": ("reward_fn", Counter().count, "changes self"),
    "object": ("reward_fn", Counter(), "changes the Counter that it is"),
    "generator": ("reward_fn", lambda o, a, n: n[0] + RNG.normal(), "changes RNG"),
    "np.random": ("reward_fn", lambda o, a, n: np.random.normal(), "the random numbers of NumPy"),  # noqa: NPY002
    "clock": ("reward_fn", lambda o, a, n: n[0] + time.perf_counter() % 1, "each time it is"),
    "prints": ("reward_fn", prints, "prints 'called'.*jax.debug.print"),
    "leaks": ("reward_fn", leaks, "keeps a value of its computation outside"),
    "compiled": ("reward_fn", differs_when_compiled, "when compiled and .* when not"),
    "float end": ("terminated_fn", lambda o, a, n: n[0], "returns float32, must be bool"),
    "many ends": ("terminated_fn", lambda o, a, n: jnp.abs(n) > 2, r"returns shape \(4,\).*any"),
    "too few": ("compute_fn", lambda o, a, n: n[:3], r"returns shape \(3,\).*must be \(4,\)"),
    "compute NaN": ("compute_fn", lambda o, a, n: n.at[3].set(jnp.nan), "returns .*nan.* in ep"),
    "success": ("success_fn", lambda episode: 1.0, "returns a float, must be True or False"),
    "success raises": ("success_fn", lambda episode: episode.x, "raises AttributeError"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "fn", "words"), BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")
def test_a_broken_function_is_named(name: str, fn, words: str) -> None:
    task = dataclasses.replace(WATCHED, **{name: fn})
    with pytest.raises(TaskError, match=f"^Watched: {name} .*{words}") as error:
        check_task(task, 100)
    assert "\n" not in str(error.value)


def test_what_only_computes_is_sound() -> None:
    """Constants, closures, numbers of Python and debugging under JAX are all allowed."""
    weights = np.array([1.0, 2.0])
    settings = {"cost": 0.1, "names": ["x", "y"]}

    def reward(obs, action, next_obs):
        jax.debug.callback(lambda _: None, obs[0])
        return -jnp.sum(weights * next_obs[:2] ** 2) - settings["cost"]

    for fn in (reward, lambda o, a, n: 1.0, lambda o, a, n: 1, jax.jit(point_reward)):
        check_functions(
            dataclasses.replace(POINT, reward_fn=fn, terminated_fn=lambda o, a, n: False)
        )
