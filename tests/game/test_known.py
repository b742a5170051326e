"""What is known of a task is a value: what is compiled for one task serves an equal one."""

# ruff: noqa: ARG002
# (Functions of a task take what the interface hands them.)

import dataclasses
import functools

import equinox as eqx
import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import TINY, PointEnv, point_reward, point_terminated

from duopoly import PAL, make_task
from duopoly.game.known import known_functions
from duopoly.world.checking.traceable import check_functions
from duopoly.world.task import Task
from duopoly.world.tasks.registered import registered_task


def point(reward_fn=point_reward) -> Task:
    return make_task(
        lambda _: PointEnv(),
        name="Point",
        horizon=20,
        reward_fn=reward_fn,
        terminated_fn=point_terminated,
    )


@pytest.mark.parametrize("make", [point, lambda: registered_task("MountainCarContinuous-v0")])
def test_what_is_known_of_equal_tasks_is_equal(make) -> None:
    one, other = known_functions(make()), known_functions(make())
    assert one == other
    assert hash(one) == hash(other)


def test_other_bounds_are_another_world() -> None:
    class Wide(PointEnv):
        def __init__(self) -> None:
            super().__init__()
            self.action_space = gym.spaces.Box(-3.0, 3.0, (2,))

    wide = dataclasses.replace(point(), make=lambda _: Wide())
    assert known_functions(point()) != known_functions(wide)


def test_a_second_agent_compiles_nothing() -> None:
    """A new agent on a task made anew, of the same functions."""
    traced = []

    def reward(obs, action, next_obs):
        traced.append(1)
        return point_reward(obs, action, next_obs)

    PAL(point(reward), settings=TINY).learn(60)
    num_traced = len(traced)
    assert num_traced > 0
    PAL(point(reward), seed=1, settings=TINY).learn(60)
    assert len(traced) == num_traced


class Module(eqx.Module):
    goal: jax.Array

    def __call__(self, obs, action, next_obs):
        return -jnp.sum((next_obs[:2] - self.goal) ** 2)


@dataclasses.dataclass
class Record:
    weight: float

    def __call__(self, obs, action, next_obs):
        return -self.weight * jnp.sum(next_obs[:2] ** 2)


@dataclasses.dataclass(frozen=True)
class Frozen:
    weights: np.ndarray

    def __call__(self, obs, action, next_obs):
        return -jnp.sum(self.weights * next_obs[:2] ** 2)


CALLABLES = {
    "module": Module(jnp.ones(2)),
    "record": Record(2.0),
    "frozen": Frozen(np.ones(2)),
    "compiled": eqx.filter_jit(Module(jnp.ones(2))),
    "partial": functools.partial(Module(jnp.ones(2)).__call__),
}


@pytest.mark.parametrize("name", CALLABLES)
def test_a_callable_object_may_be_the_reward(name: str) -> None:
    """Also one that cannot be hashed, as it holds arrays; it is then itself alone."""
    task = point(CALLABLES[name])
    check_functions(task)
    assert known_functions(task) == known_functions(task)
    hash(known_functions(task))


def test_what_holds_arrays_is_compiled() -> None:
    assert PAL(point(CALLABLES["module"]), settings=TINY).learn(60).num_timesteps == 60
