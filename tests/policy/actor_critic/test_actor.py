"""The squashed Gaussian: its density, its gradient at the edge, its twin on the host."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from actor_critic_worlds import KEY, an_actor

from duopoly.networks import Normaliser
from duopoly.policy.actor_critic.actor import (
    act_by,
    actor_controller,
    draw,
    init_actor,
    kl_divergence,
    squash,
)
from duopoly.settings import PolicySettings


def test_the_density_integrates_to_one() -> None:
    mean, std = jnp.asarray([0.7]), jnp.asarray([0.8])
    action = np.linspace(-1.0, 1.0, 200_001)[1:-1]
    noise = (np.arctanh(action) - 0.7) / 0.8
    log_prob = jax.vmap(lambda z: squash(mean, std, z[None]).log_prob)(jnp.asarray(noise))
    area = np.trapezoid(np.exp(np.asarray(log_prob, np.float64)), action)
    np.testing.assert_allclose(area, 1.0, atol=1e-3)


def test_density_and_gradient_are_finite_far_out() -> None:
    for u in (-20.0, 20.0, 60.0):
        value, gradient = jax.value_and_grad(
            lambda m: squash(m, jnp.ones(1), jnp.zeros(1)).log_prob
        )(jnp.asarray([u]))
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def test_actions_begin_nearly_uniform() -> None:
    actor = init_actor(KEY, 3, 2, PolicySettings(hidden=(8,)))
    drawn = draw(KEY, actor, jax.random.normal(KEY, (5_000, 3)))
    counts, _ = np.histogram(drawn.action[:, 0], 4, (-1.0, 1.0))
    assert counts.min() > 0.7 * 1_250
    assert float(-drawn.log_prob.mean()) > 2 * np.log(2) - 0.2


def test_the_divergence_is_that_of_many_draws() -> None:
    old, new = an_actor(3, 2), init_actor(KEY, 3, 2, PolicySettings(hidden=(8,)))
    obs = jax.random.normal(KEY, (4, 3))
    assert float(kl_divergence(old, old, obs)) == 0.0

    def log_ratio(key: jax.Array, obs: jax.Array) -> jax.Array:
        mean, std = old(obs)
        u = mean + std * jax.random.normal(key, mean.shape)
        other, spread = new(obs)
        log_old = -0.5 * ((u - mean) / std) ** 2 - jnp.log(std)
        return jnp.sum(log_old + 0.5 * ((u - other) / spread) ** 2 + jnp.log(spread))

    keys = jax.random.split(KEY, (4, 20_000))
    drawn = jax.vmap(lambda k, o: jax.vmap(lambda one: log_ratio(one, o))(k))(keys, obs)
    np.testing.assert_allclose(kl_divergence(old, new, obs), jnp.mean(drawn), rtol=0.03)


def test_the_host_acts_as_jax_does() -> None:
    inputs = Normaliser(jnp.arange(4.0), jnp.arange(1.0, 5.0))
    actor = eqx.tree_at(lambda a: a.inputs, an_actor(4, 2), inputs)
    obs = np.random.default_rng(0).standard_normal((6, 4))
    controller = actor_controller(actor)
    host = controller.act(obs, None, np.random.default_rng(0), True).action
    device = act_by(actor, True)(KEY, jnp.asarray(obs[None], jnp.float32))[0]
    np.testing.assert_allclose(host, device, rtol=1e-5, atol=1e-6)

    many = np.repeat(obs[:1], 40_000, axis=0)
    drawn = controller.act(many, None, np.random.default_rng(0), False).action
    mean, std = actor(jnp.asarray(obs[0], jnp.float32))
    u = np.arctanh(drawn)
    np.testing.assert_allclose(u.mean(axis=0), mean, atol=0.03)
    np.testing.assert_allclose(u.std(axis=0), std, rtol=0.03)
