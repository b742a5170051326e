"""A policy, and samples of it that are worth this or that."""

import jax
import jax.numpy as jnp
import pytest

from duopoly.policy.gaussian import GaussianPolicy, init_policy
from duopoly.policy.gradient.step import flatten_policy
from duopoly.policy.gradient.surrogate import Samples, log_probs
from duopoly.settings import PolicySettings


@pytest.fixture
def policy() -> GaussianPolicy:
    policy = init_policy(jax.random.key(0), 3, 2, PolicySettings(hidden=(5,), initial_log_std=-0.3))
    theta, rebuild = flatten_policy(policy)
    return rebuild(theta + 0.3 * jax.random.normal(jax.random.key(1), theta.shape))


@pytest.fixture
def samples(policy: GaussianPolicy) -> Samples:
    obs = jax.random.normal(jax.random.key(2), (400, 3))
    noise = jax.random.normal(jax.random.key(3), (400, 2))
    action = jax.vmap(lambda o, z: policy(o)[0] + jnp.exp(policy.log_std) * z)(obs, noise)
    advantage = jnp.sin(obs[:, 0] * 2.0) * noise[:, 0] - noise[:, 1] ** 2
    valid = jnp.arange(400) < 350
    weight = valid.astype(jnp.float32)
    return Samples(obs, action, log_probs(policy, obs, action), advantage, weight)
