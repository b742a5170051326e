"""TRPO: what it promises of every step, and that it takes the longest that keeps the promise."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duopoly.policy.gaussian import GaussianPolicy, numpy_policy
from duopoly.policy.gradient.natural_gradient import natural_gradient_step
from duopoly.policy.gradient.step import StepInfo, flatten_policy
from duopoly.policy.gradient.surrogate import Samples, objective
from duopoly.policy.gradient.trust_region import SHRINKAGE, trust_region_step
from duopoly.settings import PolicySettings

SETTINGS = PolicySettings(hidden=(5,), initial_log_std=-0.3, cg_iterations=30, cg_damping=1e-2)
TARGETS = (1e-4, 1e-2, 0.5)


@functools.partial(jax.jit, static_argnames="settings")
def step(
    policy: GaussianPolicy, samples: Samples, settings: PolicySettings
) -> tuple[GaussianPolicy, StepInfo]:
    new, opt_state, info = trust_region_step(
        policy, (), lambda p: objective(p, samples, 0.0), samples.obs, settings
    )
    assert opt_state == ()
    return new, info


def measured(old: GaussianPolicy, new: GaussianPolicy, samples: Samples) -> tuple[float, float]:
    """Return the mean KL divergence, worked by NumPy, and the change of the objective."""
    one, other, obs = numpy_policy(old), numpy_policy(new), np.asarray(samples.obs, np.float64)
    ratio, z = one.std / other.std, (one.mean(obs) - other.mean(obs)) / other.std
    kl = np.mean(np.sum(0.5 * (ratio**2 + z**2 - 1.0) - np.log(ratio), axis=1))
    return float(kl), float(objective(new, samples, 0.0) - objective(old, samples, 0.0))


@pytest.mark.parametrize("target_kl", TARGETS)
@pytest.mark.parametrize("seed", range(2))
def test_the_bound_holds_and_the_objective_rises(
    policy: GaussianPolicy, samples: Samples, target_kl: float, seed: int
) -> None:
    noise = jax.random.normal(jax.random.key(seed), samples.advantage.shape)
    hard = samples._replace(advantage=samples.advantage + 2.0 * noise)
    new, info = step(policy, hard, dataclasses.replace(SETTINGS, target_kl=target_kl))
    kl, gain = measured(policy, new, hard)
    assert not info.is_refused
    assert 0.0 < kl <= target_kl * (1 + 1e-3)
    assert gain > 0.0
    np.testing.assert_allclose(info.kl, kl, rtol=1e-3)


@pytest.mark.parametrize("target_kl", TARGETS)
def test_it_is_the_first_good_one_of_ever_shorter_natural_steps(
    policy: GaussianPolicy, samples: Samples, target_kl: float
) -> None:
    settings = dataclasses.replace(SETTINGS, target_kl=target_kl)
    natural, _, _ = natural_gradient_step(
        policy, (), lambda p: objective(p, samples, 0.0), samples.obs, settings
    )
    theta, rebuild = flatten_policy(policy)
    change = flatten_policy(natural)[0] - theta
    new, info = step(policy, samples, settings)
    for num_backtracks in range(settings.max_backtracks + 1):
        candidate = rebuild(theta + SHRINKAGE**num_backtracks * change)
        kl, gain = measured(policy, candidate, samples)
        if gain > 0.0 and kl <= target_kl:
            break
    assert int(info.num_backtracks) == num_backtracks
    np.testing.assert_allclose(
        flatten_policy(new)[0], flatten_policy(candidate)[0], rtol=1e-3, atol=1e-5
    )


def test_without_a_backtrack_it_is_the_natural_step(
    policy: GaussianPolicy, samples: Samples
) -> None:
    def objective_fn(policy: GaussianPolicy) -> jax.Array:
        return objective(policy, samples, 0.0)

    # The floor that the step would fall through makes it shorter, so that the bound holds.
    floor = float(jnp.min(policy.log_std))
    settings = dataclasses.replace(SETTINGS, initial_log_std=1.0, min_log_std=floor, target_kl=1e-3)
    natural, _, _ = natural_gradient_step(policy, (), objective_fn, samples.obs, settings)
    new, info = step(policy, samples, settings)
    assert int(info.num_backtracks) == 0
    for one, other in zip(jax.tree.leaves(natural), jax.tree.leaves(new), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_step_that_finds_nothing_moves_nothing(policy: GaussianPolicy, samples: Samples) -> None:
    # Uphill at the start, downhill at once: no step along the gradient rises far enough.
    def cliff(candidate: GaussianPolicy) -> jax.Array:
        gain = objective(candidate, samples, 0.0) - objective(policy, samples, 0.0)
        return jnp.where(gain > 0.0, gain - 1.0, gain)

    settings = dataclasses.replace(SETTINGS, max_backtracks=3)
    new, _, info = trust_region_step(policy, (), cliff, samples.obs, settings)
    assert info.is_refused
    assert int(info.num_backtracks) == 3
    assert float(info.kl) == 0.0
    for old_leaf, new_leaf in zip(jax.tree.leaves(policy), jax.tree.leaves(new), strict=True):
        np.testing.assert_array_equal(old_leaf, new_leaf)


@pytest.mark.parametrize("advantage", [0.0, np.nan, np.inf])
def test_broken_numbers_move_nothing(
    policy: GaussianPolicy, samples: Samples, advantage: float
) -> None:
    broken = samples._replace(advantage=jnp.full(400, advantage))
    new, info = step(policy, broken, SETTINGS)
    assert info.is_refused
    for old_leaf, new_leaf in zip(jax.tree.leaves(policy), jax.tree.leaves(new), strict=True):
        np.testing.assert_array_equal(old_leaf, new_leaf)
