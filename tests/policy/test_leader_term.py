"""A leader's implicit term in a policy step: bounded, averaged, carried over, truncated."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from duopoly.networks import Normaliser, rebase
from duopoly.policy.gaussian import GaussianPolicy, kl_divergence, log_prob
from duopoly.policy.gradient.leader_term import (
    LeaderMemory,
    add_leader_term,
    empty_leader_memory,
    rebase_leader_memory,
    remember,
)
from duopoly.policy.gradient.step import flatten_policy
from duopoly.policy.gradient.surrogate import Samples, surrogate
from duopoly.settings import LeaderSettings, PolicySettings, Settings

SETTINGS = Settings(policy=PolicySettings(cg_iterations=60, cg_damping=1e-2))


def with_leader(**values: object) -> Settings:
    return dataclasses.replace(SETTINGS, leader=LeaderSettings(**values))


def dense_fisher(policy: GaussianPolicy, obs: Array) -> np.ndarray:
    """The Hessian of the mean KL divergence at the policy itself, damped."""
    theta, rebuild = flatten_policy(policy)

    def mean_kl(theta: Array) -> Array:
        return jnp.mean(jax.vmap(lambda o: kl_divergence(policy, rebuild(theta), o))(obs))

    return np.asarray(jax.hessian(mean_kl)(theta), np.float64) + 1e-2 * np.eye(len(theta))


@pytest.mark.parametrize("size", [0.01, 10.0], ids=["within bounds", "bounded"])
def test_the_term_is_bounded_in_the_fisher_norm(
    policy: GaussianPolicy, samples: Samples, size: float
) -> None:
    theta, rebuild = flatten_policy(policy)
    other = samples._replace(advantage=size * jnp.cos(3.0 * samples.obs[:, 1]))
    objective_fn, implicit_fn = (lambda p, s=s: surrogate(p, s) for s in (samples, other))
    known, settings = jnp.asarray(True), with_leader(memory=1, max_share=0.4)
    nothing = empty_leader_memory(policy)
    _, both_fn, info = add_leader_term(
        policy, nothing, objective_fn, implicit_fn, known, samples.obs, settings
    )

    def gradient(fn: object) -> np.ndarray:
        return np.asarray(jax.grad(lambda t: fn(rebuild(t)))(theta), np.float64)

    first, second, whole = (gradient(fn) for fn in (objective_fn, implicit_fn, both_fn))
    fisher = dense_fisher(policy, samples.obs)
    lengths = [np.sqrt(g @ np.linalg.solve(fisher, g)) for g in (first, second)]
    factor = min(1.0, 0.4 * lengths[0] / lengths[1])
    assert (factor < 1.0) == (size > 1.0)
    np.testing.assert_allclose(whole - first, factor * second, rtol=1e-2, atol=1e-4 * size)
    np.testing.assert_allclose(info.fisher_share, lengths[1] / lengths[0], rtol=1e-3)
    np.testing.assert_allclose(info.newest_norm, np.linalg.norm(second), rtol=1e-4)
    np.testing.assert_allclose(info.first_norm, np.linalg.norm(first), rtol=1e-4)
    np.testing.assert_allclose(info.norm, factor * np.linalg.norm(second), rtol=1e-2)
    np.testing.assert_allclose(both_fn(policy), objective_fn(policy), rtol=1e-6)


def test_a_term_that_is_not_known_leaves_a_step_of_first_order(
    policy: GaussianPolicy, samples: Samples
) -> None:
    past = jax.tree.map(lambda x: x + 0.3, empty_leader_memory(policy))
    unknown = samples._replace(weight=jnp.zeros(400))
    kept, both_fn, info = add_leader_term(
        policy, past, lambda p: surrogate(p, samples), lambda p: surrogate(p, unknown),
        jnp.asarray(False), samples.obs, SETTINGS,
    )  # fmt: skip
    for a, b in zip(jax.tree.leaves(kept), jax.tree.leaves(past), strict=True):
        np.testing.assert_array_equal(a, b)
    assert float(info.norm) == 0.0
    theta, rebuild = flatten_policy(policy)
    moved = rebuild(theta + 0.1)
    assert float(both_fn(moved)) == float(surrogate(moved, samples))


@pytest.mark.parametrize("is_told", [False, True], ids=["unknown", "not finite"])
def test_later_directions_weigh_more_and_unknown_ones_nothing(
    policy: GaussianPolicy, is_told: bool
) -> None:
    num_parameters = len(flatten_policy(policy)[0])
    directions = np.random.default_rng(0).normal(size=(5, num_parameters)).astype(np.float32)
    known = [True, True, False, True, True]
    directions[2] = np.nan
    memory, seen = empty_leader_memory(policy), []
    for direction, is_known in zip(directions, known, strict=True):
        told = jnp.asarray(is_known or is_told)
        memory, average = remember(memory, jnp.asarray(direction), told, 4)
        seen.append(is_known)
        ages = np.cumsum(seen[::-1])[::-1] - 1  # known directions after each
        weight = np.where(seen, 0.75**ages, 0.0)
        past = np.nan_to_num(directions[: len(seen)])
        expected = weight @ past / weight.sum() if is_known else 0.0 * average
        np.testing.assert_allclose(average, expected, rtol=1e-4, atol=1e-6)
    _, alone = remember(memory, jnp.asarray(directions[0]), jnp.asarray(True), 1)
    np.testing.assert_allclose(alone, directions[0], rtol=1e-6)


def test_what_is_remembered_is_the_same_change_in_other_units(policy: GaussianPolicy) -> None:
    rng = np.random.default_rng(1)

    def drawn(x: Array) -> Array:
        return jnp.asarray(0.1 * rng.normal(size=x.shape), jnp.float32)

    old, new = (
        Normaliser(jnp.asarray(mean), jnp.asarray(std))
        for mean, std in (([0.0, 1.0, -1.0], [1.0, 0.5, 2.0]), ([0.4, -1.0, 2.0], [3.0, 0.2, 1.0]))
    )
    change = jax.tree.map(drawn, empty_leader_memory(policy))
    change_anew = rebase_leader_memory(change, old, new)

    def moved(
        network: object, log_std: Array, by: LeaderMemory, inputs: Normaliser
    ) -> GaussianPolicy:
        return GaussianPolicy(jax.tree.map(jnp.add, network, by.network), log_std, inputs)

    before = moved(policy.network, policy.log_std, change, old)
    after = moved(rebase(policy.network, old, new), policy.log_std, change_anew, new)
    assert not np.allclose(*(ravel_pytree(c.network)[0] for c in (change, change_anew)), rtol=0.1)
    for obs in jnp.asarray(rng.normal(size=(20, 3)), jnp.float32):
        np.testing.assert_allclose(before(obs)[0], after(obs)[0], rtol=1e-4, atol=1e-5)


def test_no_sample_weighs_more_than_the_largest_ratio(
    policy: GaussianPolicy, samples: Samples
) -> None:
    theta, rebuild = flatten_policy(policy)
    at = theta + 0.3 * jnp.cos(5.0 * jnp.arange(len(theta)))

    def loop(max_ratio: float) -> np.ndarray:
        total = np.zeros(len(theta))
        score = jax.jit(jax.value_and_grad(lambda t, o, a: log_prob(rebuild(t), o, a)))
        for i in range(350):
            log_density, score_i = score(at, samples.obs[i], samples.action[i])
            ratio = min(float(jnp.exp(log_density - samples.log_prob[i])), max_ratio)
            total += ratio * float(samples.advantage[i]) * np.asarray(score_i, np.float64)
        return total / 350

    def found(max_ratio: float | None) -> np.ndarray:
        return np.asarray(jax.grad(lambda t: surrogate(rebuild(t), samples, max_ratio))(at))

    np.testing.assert_allclose(found(1.5), loop(1.5), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found(None), loop(np.inf), rtol=1e-3, atol=1e-4)
    assert not np.allclose(found(1.5), found(None), rtol=0.1, atol=1e-3)
    np.testing.assert_allclose(found(1e6), found(None), rtol=1e-5, atol=1e-6)
