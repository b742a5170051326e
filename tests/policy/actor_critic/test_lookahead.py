"""What a rollout through the model is worth: sums, masks, entropies, and the gradient."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from actor_critic_worlds import KEY, Clock, Integrator, an_actor
from jaxtyping import Array

from duopoly.model.imagine import Dynamics
from duopoly.networks import MLP, Normaliser
from duopoly.policy.actor_critic.actor import Actor
from duopoly.policy.actor_critic.lookahead import look_ahead, soft_return
from duopoly.types import Prediction

DISCOUNT, NONE = 0.9, jnp.asarray(0.0)
STARTS = jnp.zeros((2, 3, 1))


def worth(
    world: Dynamics,
    horizon: int,
    last_value: float,
    temperature: float = 0.0,
    actor: Actor | None = None,
    with_first: bool = False,
) -> Array:
    actor = an_actor() if actor is None else actor
    ahead = look_ahead(KEY, actor, world, STARTS, horizon, DISCOUNT)
    value = jnp.full(STARTS.shape[:2], last_value)
    return soft_return(ahead, value, jnp.asarray(temperature), with_first)


@pytest.mark.parametrize("horizon", [1, 2, 5, 12])
def test_of_a_constant_world_it_is_the_geometric_sum(horizon: int) -> None:
    expected = (1 - DISCOUNT**horizon) / (1 - DISCOUNT) + DISCOUNT**horizon * 7.0
    np.testing.assert_allclose(worth(Clock(), horizon, 7.0), expected, rtol=1e-6)


@pytest.mark.parametrize("last", [0, 1, 2, 3])
def test_nothing_follows_an_end_and_its_own_reward_counts(last: int) -> None:
    world = Clock(last=last, growth=0.5)
    earned = sum(DISCOUNT**t * (1 + 0.5 * t) for t in range(last + 1))
    np.testing.assert_allclose(worth(world, 4, 1e6), earned, rtol=1e-6)


@pytest.mark.parametrize("last", [0, 1, 2, 3])
def test_where_the_model_does_not_trust_itself_the_critics_take_over(last: int) -> None:
    world = Clock(last=last, growth=0.5, stop="truncated")
    earned = sum(DISCOUNT**t * (1 + 0.5 * t) for t in range(last + 1))
    expected = earned + DISCOUNT ** (last + 1) * 7.0
    np.testing.assert_allclose(worth(world, 4, 7.0), expected, rtol=1e-6)
    ahead = look_ahead(KEY, an_actor(), world, STARTS, 4, DISCOUNT)
    np.testing.assert_array_equal(ahead.last_obs, STARTS + last + 1)


def test_entropy_counts_from_the_second_action_on_and_in_the_actors_objective_from_the_first():
    actor = an_actor()
    still = eqx.tree_at(lambda a: a.network.layers[-1].weight, actor, jnp.zeros((8, 2)))
    ahead = look_ahead(KEY, still, Clock(pay=0.0), STARTS, 3, DISCOUNT)
    log_prob = np.concatenate([ahead.log_prob, ahead.last.log_prob[None]])
    factors = DISCOUNT ** np.arange(4)
    for with_first in (False, True):
        kept = factors.copy()
        kept[0] = float(with_first)
        expected = -0.7 * np.tensordot(kept, log_prob, axes=1)
        found = worth(Clock(pay=0.0), 3, 0.0, 0.7, still, with_first)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_gradient_is_that_of_finite_differences() -> None:
    """In double precision, with the noise fixed; through states, rewards and actions."""
    with jax.enable_x64(True):
        actor = jax.tree.map(lambda x: x.astype(jnp.float64), an_actor())
        starts = jax.random.normal(KEY, (2, 3, 1), jnp.float64)

        def objective(network: MLP) -> Array:
            moved = actor.with_network(network)
            ahead = look_ahead(KEY, moved, Integrator(), starts, 4, DISCOUNT)
            value = -jnp.sum(ahead.last_obs**2, axis=-1) - jnp.sum(ahead.last.action, axis=-1)
            return jnp.mean(soft_return(ahead, value, jnp.asarray(0.3), True))

        flat, rebuild = jax.flatten_util.ravel_pytree(actor.network)
        gradient, _ = jax.flatten_util.ravel_pytree(jax.grad(objective)(actor.network))
        for direction in jax.random.normal(KEY, (5, len(flat)), jnp.float64):
            ahead, behind = (objective(rebuild(flat + s * 1e-6 * direction)) for s in (1, -1))
            difference = (ahead - behind) / 2e-6
            np.testing.assert_allclose(gradient @ direction, difference, rtol=1e-5)


GAIN, SPREAD, PUSH, PRICE = 0.6, 0.3, 0.5, 0.2
"""A linear policy u = −GAIN s + SPREAD ε, where s' = s + PUSH u and r = −s² − PRICE u²."""


class Linear(eqx.Module):
    num_members: int = eqx.field(static=True, default=2)

    def __call__(self, key: Array, obs: Array, action: Array) -> Prediction:
        del key
        u = jnp.arctanh(action)
        reward = -jnp.sum(obs**2 + PRICE * u**2, axis=-1)
        no = jnp.zeros(reward.shape, bool)
        return Prediction(obs + PUSH * u, reward, no, no)


@pytest.mark.parametrize("horizon", [1, 3, 8])
def test_with_the_true_critic_the_horizon_changes_neither_value_nor_gradient(horizon: int) -> None:
    """Of a linear-quadratic problem, whose value −p s² − c is known."""
    closed = 1.0 - PUSH * GAIN
    p = (1.0 + PRICE * GAIN**2) / (1.0 - DISCOUNT * closed**2)
    c = SPREAD**2 * (PRICE + DISCOUNT * p * PUSH**2) / (1.0 - DISCOUNT)
    network = MLP(KEY, (1, 2), "silu")
    known = jnp.asarray([[-GAIN, 0.0]]), jnp.asarray([0.0, jnp.log(jnp.expm1(SPREAD))])
    network = eqx.tree_at(lambda n: (n.layers[0].weight, n.layers[0].bias), network, known)
    actor = Actor(network, Normaliser.identity(1), 0.0)

    def mean_of(start: Array) -> Array:
        starts = jnp.broadcast_to(start, (2, 20_000, 1))
        ahead = look_ahead(KEY, actor, Linear(), starts, horizon, DISCOUNT)
        s, u = ahead.last_obs[..., 0], jnp.arctanh(ahead.last.action[..., 0])
        value = -(s**2) - PRICE * u**2 - DISCOUNT * (p * (s + PUSH * u) ** 2 + c)
        return jnp.mean(soft_return(ahead, value, NONE, False))

    value, gradient = jax.value_and_grad(mean_of)(jnp.asarray(0.8))
    np.testing.assert_allclose(value, -p * 0.8**2 - c, rtol=0.01)
    np.testing.assert_allclose(gradient, -2.0 * p * 0.8, rtol=0.01)


def test_no_gradient_comes_from_what_follows_an_end() -> None:
    """Even where the world's functions have no gradient there."""

    class Undefined(eqx.Module):
        num_members: int = eqx.field(static=True, default=2)

        def __call__(self, key: Array, obs: Array, action: Array):
            seen = Integrator(edge=0.0)(key, obs, action)
            log = jnp.sum(jnp.log(-obs), axis=-1)  # NaN once it has ended
            return seen._replace(reward=seen.reward + log, terminated=seen.next_obs[..., 0] > -0.5)

    def objective(network: MLP, horizon: int) -> Array:
        moved = an_actor().with_network(network)
        ahead = look_ahead(KEY, moved, Undefined(), STARTS - 0.55, horizon, DISCOUNT)
        return jnp.mean(soft_return(ahead, jnp.zeros((2, 3)), NONE, True))

    network = eqx.tree_at(lambda n: n.layers[-1].weight, an_actor().network, jnp.zeros((8, 2)))
    network = eqx.tree_at(lambda n: n.layers[-1].bias, network, jnp.asarray([5.0, -9.0]))
    short, long = (jax.grad(objective)(network, horizon) for horizon in (1, 6))
    for one, other in zip(jax.tree.leaves(short), jax.tree.leaves(long), strict=True):
        assert np.isfinite(other).all()
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-8)


def test_soft_survival_weighs_by_the_chance_to_go_on_and_has_its_gradient() -> None:
    class Dangerous(eqx.Module):
        num_members: int = eqx.field(static=True, default=2)

        def __call__(self, key: Array, obs: Array, action: Array):
            seen = Clock()(key, obs, action)
            chance = jnp.clip(0.25 + 0.1 * action[..., 0], 0.0, 1.0)
            return seen._replace(terminated=seen.terminated | True, end_probability=chance)

    def objective(network: MLP, is_soft: bool) -> Array:
        moved = an_actor().with_network(network)
        ahead = look_ahead(KEY, moved, Dangerous(), STARTS, 3, DISCOUNT, is_soft)
        return jnp.mean(soft_return(ahead, jnp.full((2, 3), 7.0), NONE, False))

    network = eqx.tree_at(lambda n: n.layers[-1].weight, an_actor().network, jnp.zeros((8, 2)))
    still = eqx.tree_at(lambda n: n.layers[-1].bias, network, jnp.asarray([0.0, -30.0]))
    assert float(objective(still, False)) == 1.0  # every step ends the world
    survives = DISCOUNT * 0.75
    expected = 1.0 + survives + survives**2 + survives**3 * 7.0
    np.testing.assert_allclose(objective(still, True), expected, rtol=0.1)
    for is_soft in (False, True):
        gradient = jax.grad(objective)(still, is_soft).layers[-1].bias[0]
        assert (float(gradient) < 0.0) is is_soft
