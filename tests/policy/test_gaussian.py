"""The Gaussian policy against SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from duopoly.networks import Normaliser
from duopoly.policy.gaussian import (
    GaussianPolicy,
    entropy,
    init_policy,
    kl_divergence,
    log_prob,
    numpy_policy,
    sample,
)
from duopoly.settings import PolicySettings


def make(seed: int) -> GaussianPolicy:
    policy = init_policy(jax.random.key(seed), 4, 3, PolicySettings(hidden=(6, 5)))
    keys = jax.random.split(jax.random.key(seed + 100), 2)
    last = policy.network.layers[-1]
    weight = jax.random.normal(keys[0], last.weight.shape)
    log_std = 0.5 * jax.random.normal(keys[1], (3,))
    network = jax.tree.unflatten(
        jax.tree.structure(policy.network),
        [*jax.tree.leaves(policy.network)[:-2], weight, last.bias],
    )
    return GaussianPolicy(network, log_std, Normaliser(jnp.arange(4.0), jnp.array([1.0, 2, 3, 4])))


OBS = jnp.array([0.3, -1.0, 2.0, 5.0])
ACTION = jnp.array([0.1, -0.7, 1.5])


def test_log_prob_matches_scipy() -> None:
    policy = make(0)
    mean, log_std = policy(OBS)
    expected = stats.norm(np.asarray(mean), np.exp(np.asarray(log_std))).logpdf(ACTION).sum()
    np.testing.assert_allclose(log_prob(policy, OBS, ACTION), expected, rtol=1e-5)


def test_entropy_matches_scipy() -> None:
    policy = make(0)
    expected = stats.norm(0.0, np.exp(np.asarray(policy.log_std))).entropy().sum()
    np.testing.assert_allclose(entropy(policy), expected, rtol=1e-5)


def test_kl_divergence_matches_quadrature() -> None:
    old, new = make(0), make(1)
    (mean_p, log_p), (mean_q, log_q) = old(OBS), new(OBS)
    total = 0.0
    for m_p, s_p, m_q, s_q in zip(mean_p, jnp.exp(log_p), mean_q, jnp.exp(log_q), strict=True):
        p, q = stats.norm(float(m_p), float(s_p)), stats.norm(float(m_q), float(s_q))
        x = np.linspace(p.mean() - 12 * p.std(), p.mean() + 12 * p.std(), 20_001)
        total += np.trapezoid(p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), x)
    np.testing.assert_allclose(kl_divergence(old, new, OBS), total, rtol=1e-4)
    np.testing.assert_allclose(kl_divergence(old, old, OBS), 0.0, atol=1e-6)


def test_samples_have_the_right_moments() -> None:
    policy = make(0)
    actions = sample(jax.random.key(5), policy, jnp.broadcast_to(OBS, (2, 20_000, 4)))
    mean, log_std = policy(OBS)
    np.testing.assert_allclose(actions.mean((0, 1)), mean, atol=0.03)
    np.testing.assert_allclose(actions.std((0, 1)), jnp.exp(log_std), rtol=0.03)


def test_initial_mean_is_near_zero() -> None:
    policy = init_policy(jax.random.key(0), 4, 3, PolicySettings())
    assert np.abs(policy(OBS)[0]).max() < 0.1


@pytest.mark.parametrize("shape", [(), (7,), (2, 3)])
def test_numpy_copy_agrees(shape: tuple[int, ...]) -> None:
    policy = make(2)
    obs = np.random.default_rng(0).normal(size=(*shape, 4)) * 3
    flat = obs.reshape(-1, 4)
    expected = jax.vmap(lambda o: policy(o)[0])(jnp.asarray(flat, jnp.float32))
    copy = numpy_policy(policy)
    np.testing.assert_allclose(copy.mean(obs).reshape(-1, 3), expected, rtol=1e-4, atol=1e-5)
    assert copy.mean(obs).shape == (*shape, 3)
    noise = copy.sample(obs, np.random.default_rng(1)) - copy.mean(obs)
    expected_noise = np.random.default_rng(1).standard_normal((*shape, 3)) * copy.std
    np.testing.assert_allclose(noise, expected_noise, rtol=1e-6)
