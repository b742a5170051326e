"""The plain gradient against finite differences of an exact J, and Adam worked by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duopoly.policy.gaussian import GaussianPolicy, numpy_policy
from duopoly.policy.gradient.plain_gradient import init_optimiser, plain_gradient_step
from duopoly.policy.gradient.player import NPG, PG, TRPO
from duopoly.policy.gradient.step import flatten_policy
from duopoly.policy.gradient.surrogate import Samples, log_probs, objective
from duopoly.policy.player import Spaces
from duopoly.settings import PolicySettings, Settings

SETTINGS = PolicySettings(hidden=(5,), improver="pg", learning_rate=0.02)
GOAL = np.array([0.4, -0.7])


def exact_return(policy: GaussianPolicy, obs: jax.Array) -> float:
    """Return J where the reward is −‖a − goal‖²: −‖mean − goal‖² − Σσ², in double precision."""
    copy = numpy_policy(policy)
    distance = copy.mean(np.asarray(obs, np.float64)) - GOAL
    return float(-np.mean(np.sum(distance**2, axis=1)) - np.sum(copy.std**2))


def all_actions(policy: GaussianPolicy, obs: jax.Array) -> Samples:
    """Return the nodes of a quadrature as samples: of polynomials their mean is exact."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    z = jnp.asarray(np.stack(np.meshgrid(nodes, nodes), -1).reshape(-1, 2), jnp.float32)
    weight = jnp.asarray(np.outer(weights, weights).reshape(-1), jnp.float32)
    every = jnp.repeat(obs, len(z), axis=0)
    std = jnp.exp(policy.log_std)[None]
    action = jax.vmap(lambda o: policy(o)[0])(every) + std * jnp.tile(z, (len(obs), 1))
    reward = -jnp.sum((action - jnp.asarray(GOAL, jnp.float32)[None]) ** 2, axis=1)
    weight = jnp.tile(weight, len(obs))
    return Samples(every, action, log_probs(policy, every, action), reward, weight)


@pytest.fixture
def gradient(policy: GaussianPolicy, samples: Samples) -> np.ndarray:
    """Finite differences of the exact J."""
    theta, rebuild = flatten_policy(policy)
    obs = samples.obs[:10]
    nudges = 1e-2 * np.eye(len(theta), dtype=np.float32)
    return np.array([
        (exact_return(rebuild(theta + n), obs) - exact_return(rebuild(theta - n), obs)) / 2e-2
        for n in nudges
    ])  # fmt: skip


def test_it_is_the_gradient_of_the_return(
    policy: GaussianPolicy, samples: Samples, gradient: np.ndarray
) -> None:
    exact = all_actions(policy, samples.obs[:10])
    theta, rebuild = flatten_policy(policy)
    found = jax.grad(lambda t: objective(rebuild(t), exact, 0.0))(theta)
    np.testing.assert_allclose(found, gradient, rtol=2e-3, atol=2e-3)
    opt_state = init_optimiser(policy, SETTINGS)
    _, _, info = plain_gradient_step(
        policy, opt_state, lambda p: objective(p, exact, 0.0), exact.obs, SETTINGS
    )
    np.testing.assert_allclose(info.gradient_norm, np.linalg.norm(gradient), rtol=1e-3)
    assert np.isnan(info.curvature)
    assert np.isnan(info.residual)


def test_steps_are_those_of_adam_up_the_gradient(policy: GaussianPolicy, samples: Samples) -> None:
    def objective_fn(policy: GaussianPolicy) -> jax.Array:
        return objective(policy, samples, 0.0)

    theta, rebuild = flatten_policy(policy)
    expected = np.asarray(theta, np.float64)
    first, second = np.zeros_like(expected), np.zeros_like(expected)
    opt_state = init_optimiser(policy, SETTINGS)
    for time in (1, 2, 3):
        here = jnp.asarray(expected, jnp.float32)
        g = np.asarray(jax.grad(lambda t: objective_fn(rebuild(t)))(here), np.float64)
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        corrected = np.sqrt(second / (1 - 0.999**time)) + 1e-8
        expected += 0.02 * first / (1 - 0.9**time) / corrected
        policy, opt_state, info = plain_gradient_step(
            policy, opt_state, objective_fn, samples.obs, SETTINGS
        )
        assert not info.is_refused
        assert float(info.kl) > 0.0
        np.testing.assert_allclose(flatten_policy(policy)[0], expected, atol=2e-4)


def test_only_plain_gradients_remember_anything() -> None:
    for player, remembers in ((NPG, False), (TRPO, False), (PG, True)):
        state = player.init(jax.random.key(0), Spaces(3, 2), Settings())
        assert bool(jax.tree.leaves(state.opt_state)) is remembers


@pytest.mark.parametrize("advantage", [np.nan, np.inf])
def test_a_broken_step_moves_nothing(
    policy: GaussianPolicy, samples: Samples, advantage: float
) -> None:
    broken = samples._replace(advantage=jnp.full(400, advantage))
    before = (policy, init_optimiser(policy, SETTINGS))
    new, opt_state, info = plain_gradient_step(
        *before, lambda p: objective(p, broken, 0.0), samples.obs, SETTINGS
    )
    assert info.is_refused
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves((new, opt_state)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_exploration_never_falls_below_its_floor(policy: GaussianPolicy, samples: Samples) -> None:
    floor = float(jnp.min(policy.log_std)) - 1e-3
    settings = dataclasses.replace(SETTINGS, min_log_std=floor)
    less_noise = all_actions(policy, samples.obs[:10])
    new, _, _ = plain_gradient_step(
        policy,
        init_optimiser(policy, settings),
        lambda p: objective(p, less_noise, 0.0),
        samples.obs,
        settings,
    )
    np.testing.assert_allclose(jnp.min(new.log_std), floor, rtol=1e-6)
