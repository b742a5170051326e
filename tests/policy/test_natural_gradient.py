"""The natural gradient against dense linear algebra."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duopoly.policy.gaussian import GaussianPolicy, kl_divergence
from duopoly.policy.gradient.natural_gradient import fisher_vector_product, natural_gradient_step
from duopoly.policy.gradient.step import StepInfo, flatten_policy
from duopoly.policy.gradient.surrogate import Samples, objective
from duopoly.settings import PolicySettings

BONUS = 0.3
SETTINGS = PolicySettings(
    hidden=(5,),
    initial_log_std=-0.3,
    entropy_bonus=BONUS,
    cg_iterations=60,
    cg_damping=1e-2,
)


def step(
    policy: GaussianPolicy, samples: Samples, fisher_obs: jax.Array, settings: PolicySettings
) -> tuple[GaussianPolicy, StepInfo]:
    """Take a step that improves the objective on the samples."""

    def objective_fn(policy: GaussianPolicy) -> jax.Array:
        return objective(policy, samples, settings.entropy_bonus)

    new, _, info = natural_gradient_step(policy, (), objective_fn, fisher_obs, settings)
    return new, info


def dense_fisher(policy: GaussianPolicy, obs: jax.Array) -> np.ndarray:
    """Return the Hessian of the mean KL divergence at the policy itself: the Fisher matrix."""
    theta, rebuild = flatten_policy(policy)

    def mean_kl(theta: jax.Array) -> jax.Array:
        return jnp.mean(jax.vmap(lambda o: kl_divergence(policy, rebuild(theta), o))(obs))

    return np.asarray(jax.hessian(mean_kl)(theta))


def test_fisher_vector_product_matches_dense_fisher(
    policy: GaussianPolicy, samples: Samples
) -> None:
    fisher = dense_fisher(policy, samples.obs)
    product = fisher_vector_product(policy, samples.obs, damping=0.1)
    for key in jax.random.split(jax.random.key(4), 5):
        vector = jax.random.normal(key, (fisher.shape[0],))
        expected = fisher @ np.asarray(vector) + 0.1 * np.asarray(vector)
        np.testing.assert_allclose(product(vector), expected, rtol=1e-4, atol=1e-5)


def test_step_follows_the_dense_solution(policy: GaussianPolicy, samples: Samples) -> None:
    theta, rebuild = flatten_policy(policy)
    gradient = np.asarray(
        jax.grad(lambda t: objective(rebuild(t), samples, BONUS))(theta), np.float64
    )
    fisher = dense_fisher(policy, samples.obs) + SETTINGS.cg_damping * np.eye(len(theta))
    direction = np.linalg.solve(fisher, gradient)
    curvature = gradient @ direction
    expected = theta + np.sqrt(2 * SETTINGS.target_kl / curvature) * direction

    new, info = step(policy, samples, samples.obs, SETTINGS)

    np.testing.assert_allclose(flatten_policy(new)[0], expected, rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(info.curvature, curvature, rtol=1e-3)
    assert info.residual < 1e-2
    assert not info.is_refused


@pytest.mark.parametrize(("target_kl", "tolerance"), [(1e-5, 0.03), (1e-4, 0.1), (1e-2, 1.0)])
def test_measured_kl_is_near_the_target(
    policy: GaussianPolicy, samples: Samples, target_kl: float, tolerance: float
) -> None:
    settings = PolicySettings(hidden=(5,), target_kl=target_kl, cg_damping=1e-5, cg_iterations=60)
    _, info = step(policy, samples, samples.obs, settings)
    # The quadratic model of the divergence holds the better the shorter the step.
    assert float(info.kl) == pytest.approx(target_kl, rel=tolerance)


def test_gradient_matches_finite_differences(policy: GaussianPolicy, samples: Samples) -> None:
    theta, rebuild = flatten_policy(policy)
    gradient = jax.grad(lambda t: objective(rebuild(t), samples, BONUS))(theta)
    for i in range(0, len(theta), 7):
        nudge = jnp.zeros_like(theta).at[i].set(1e-2)
        above, below = (
            objective(rebuild(theta + nudge), samples, BONUS),
            objective(rebuild(theta - nudge), samples, BONUS),
        )
        np.testing.assert_allclose(gradient[i], (above - below) / 2e-2, rtol=0.02, atol=2e-3)


def test_padding_does_not_matter(policy: GaussianPolicy, samples: Samples) -> None:
    garbage = jnp.where(samples.weight[:, None] > 0.0, samples.obs, 99.0)
    padded = samples._replace(obs=garbage)
    new, _ = step(policy, samples, samples.obs[:350], SETTINGS)
    same, _ = step(policy, padded, samples.obs[:350], SETTINGS)
    np.testing.assert_allclose(flatten_policy(new)[0], flatten_policy(same)[0], rtol=1e-5)


def test_entropy_bonus_alone_widens_the_policy_and_leaves_its_mean(
    policy: GaussianPolicy, samples: Samples
) -> None:
    indifferent = samples._replace(advantage=jnp.zeros(400))
    settings = dataclasses.replace(SETTINGS, target_kl=1e-4)
    new, _ = step(policy, indifferent, samples.obs, settings)
    # Of a change in log std alone the KL divergence is its square, to second order.
    change = np.asarray(new.log_std - policy.log_std)
    np.testing.assert_allclose(change, np.full(2, np.sqrt(1e-4 / 2)), rtol=0.03)
    for old, same in zip(policy.network.layers, new.network.layers, strict=True):
        np.testing.assert_allclose(old.weight, same.weight, atol=1e-6)


@pytest.mark.parametrize("advantage", [0.0, np.nan, np.inf])
def test_a_broken_step_moves_nothing(
    policy: GaussianPolicy, samples: Samples, advantage: float
) -> None:
    broken = samples._replace(advantage=jnp.full(400, advantage))
    settings = dataclasses.replace(SETTINGS, entropy_bonus=0.0)
    new, info = step(policy, broken, samples.obs, settings)
    assert info.is_refused
    for old_leaf, new_leaf in zip(jax.tree.leaves(policy), jax.tree.leaves(new), strict=True):
        np.testing.assert_array_equal(old_leaf, new_leaf)


def test_exploration_never_falls_below_its_floor(policy: GaussianPolicy, samples: Samples) -> None:
    free, _ = step(policy, samples, samples.obs, SETTINGS)
    floor = float(jnp.mean(free.log_std))
    settings = dataclasses.replace(SETTINGS, initial_log_std=floor, min_log_std=floor)
    held, _ = step(policy, samples, samples.obs, settings)
    np.testing.assert_allclose(held.log_std, np.maximum(free.log_std, floor), rtol=1e-6)
    assert float(free.log_std.min()) < floor < float(free.log_std.max())
