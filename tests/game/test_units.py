"""What is learned does not depend on the units of observations and rewards.

A power of two changes no digit of a float, so everything must come out the same, bit by bit.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from probes import TINY, PointEnv

from duopoly import PAL, PETS, Agent, make_task, override
from duopoly.networks import Normaliser

POWERS = [-30, -20, 0, 20, 30]
"""Of two: from 1e-9 to 1e9."""


class Scaled(PointEnv):
    """The point in other units."""

    def __init__(self, unit: float, pay: float) -> None:
        super().__init__()
        self._unit, self._pay = unit, pay

    def reset(self, **kwargs: Any) -> Any:
        obs, info = super().reset(**kwargs)
        return self._unit * obs, info

    def step(self, action: np.ndarray) -> Any:
        obs, reward, terminated, truncated, info = super().step(action)
        return self._unit * obs, self._pay * reward, terminated, truncated, info


def learned(algorithm: Any, unit: float, pay: float, **changes: Any) -> Agent:
    """Play three rounds from a policy whose mean is zero, until the first data tell the units."""
    task = make_task(lambda _: Scaled(unit, pay), name="Scaled", horizon=20)
    agent = algorithm(task, settings=override(TINY, changes))
    last = agent.state.players.policy.policy.network.layers[-1].weight
    players = eqx.tree_at(
        lambda p: p.policy.policy.network.layers[-1].weight, agent.state.players, 0.0 * last
    )
    agent.state = dataclasses.replace(agent.state, players=players)
    return agent.learn(320)


@pytest.fixture(scope="module")
def plain() -> Agent:
    return learned(PAL, 1.0, 1.0)


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("what", ["observations", "rewards"])
def test_units_change_nothing(plain: Agent, power: int, what: str) -> None:
    factor = 2.0**power
    unit, pay = (factor, 1.0) if what == "observations" else (1.0, factor)
    agent = learned(PAL, unit, pay)
    for name, scale in [("obs", unit), ("next_obs", unit), ("reward", pay), ("action", 1.0)]:
        ours, theirs = (getattr(one.state.buffer, name) for one in (agent, plain))
        np.testing.assert_array_equal(ours, np.float32(scale) * theirs, err_msg=name)


def test_nor_for_a_planner() -> None:
    changes = {
        "policy.improver": "cem",
        "policy.planner.horizon": 4,
        "policy.planner.num_samples": 20,
    }
    plain, small = (learned(PETS, *units, **changes) for units in [(1, 1), (2**-30, 2**-30)])
    np.testing.assert_array_equal(plain.state.buffer.action, small.state.buffer.action)


@pytest.mark.parametrize("offset", [1e3, 1e5, 1e6])
def test_an_offset_hides_no_motion(offset: float) -> None:
    """Single precision rounds it, and that is all."""
    x = (offset + np.linspace(-0.5, 0.5, 4_001)).astype(np.float32)[:, None]
    found = Normaliser.of(jnp.asarray(x), jnp.ones(len(x), bool))
    np.testing.assert_allclose(found.std, [1 / 12**0.5], rtol=0.1)
    np.testing.assert_allclose(found.mean, [offset], atol=max(0.15, 2e-7 * offset))


@pytest.mark.parametrize("noise", [1e-17, 1e-15])
def test_what_a_simulator_computes_as_nearly_zero_is_constant(noise: float) -> None:
    x = np.random.default_rng(0).normal(0.0, noise, (500, 1)).astype(np.float32)
    assert float(Normaliser.of(jnp.asarray(x), jnp.ones(len(x), bool)).std[0]) == 1.0
