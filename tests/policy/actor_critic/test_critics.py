"""Bounded critics, and the pool from which they learn."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from actor_critic_worlds import KEY, Clock, an_actor

from duopoly.model.imagine import Shuffled
from duopoly.networks import Normaliser
from duopoly.policy.actor_critic.actor import act_by
from duopoly.policy.actor_critic.critics import (
    Bounds,
    Critics,
    init_critics,
    lowest_of_some,
    measure_bounds,
)
from duopoly.policy.actor_critic.pool import draw_states, fill, refill, sample
from duopoly.settings import ActorCriticSettings
from duopoly.types import Transitions

OPTIONS = ActorCriticSettings(hidden=(8, 8), batch_size=6, pool_horizon=4, pool_slots=3)


def test_no_q_leaves_what_can_be_earned() -> None:
    earned = jax.random.uniform(KEY, (4, 100))
    bounds = measure_bounds(earned, jnp.ones(earned.shape, bool), 0.9)
    assert float(bounds.low) == 0.0  # an end earns nothing
    assert 9.5 < float(bounds.high) <= 10.0
    far = bounds.clip(jnp.asarray([-5.0, 3.0, 500.0]))
    np.testing.assert_allclose(far, [0.0, 3.0, bounds.high])
    losses = measure_bounds(-earned, jnp.ones(earned.shape, bool), 0.9)
    assert float(losses.high) == 0.0


def test_padding_does_not_widen_the_bounds() -> None:
    earned = jnp.asarray([1.0, 1.0, 1e6])
    assert float(measure_bounds(earned, earned < 2.0, 0.5).high) == 2.0


def test_critics_begin_in_the_middle_and_see_normalised_observations() -> None:
    networks = init_critics(KEY, 5, OPTIONS)
    inputs = Normaliser(jnp.arange(3.0), jnp.arange(1.0, 4.0))
    critics = Critics(networks, Bounds(jnp.asarray(2.0), jnp.asarray(4.0)), inputs)
    obs, action = jax.random.normal(KEY, (2, 7, 3)), jax.random.normal(KEY, (2, 7, 2))
    np.testing.assert_array_equal(critics(obs, action), np.full((3, 2, 7), 3.0))

    networks = jax.tree.map(lambda x: x + 0.1, networks)
    found = Critics(networks, critics.bounds, inputs)(obs, action)
    one = jax.tree.map(lambda x: x[1], networks)
    expected = 3.0 + one(jnp.concatenate([inputs(obs[1, 4]), action[1, 4]]))[0]
    np.testing.assert_allclose(found[1, 1, 4], expected, rtol=1e-5)


def test_the_lowest_of_some_critics() -> None:
    values = jnp.asarray([[1.0, 6.0], [2.0, 5.0], [3.0, 4.0]])
    np.testing.assert_array_equal(lowest_of_some(KEY, values, 3), [1.0, 4.0])
    drawn = {tuple(map(float, lowest_of_some(jax.random.key(i), values, 1))) for i in range(30)}
    assert drawn == {(1.0, 6.0), (2.0, 5.0), (3.0, 4.0)}


def test_the_pool_holds_no_step_after_an_end_and_starts_from_all_data() -> None:
    obs = jnp.arange(10.0)[:, None] * 10.0
    no = jnp.zeros(10, bool)
    data = Transitions(obs, obs, obs[:, 0], obs, no, no, jnp.asarray(8))
    act, world = act_by(an_actor()), Clock(last=21)
    pool = fill(KEY, act, world, data, OPTIONS)
    drawn = sample(KEY, pool, (4_000,))
    steps = np.asarray(drawn.obs[:, 0])
    assert set(steps) <= {10.0 * start + t for start in range(8) for t in range(4)} - {22.0, 23.0}
    assert {10.0 * start for start in range(8)} <= set(steps)
    np.testing.assert_array_equal(np.asarray(drawn.terminated), steps == 21.0)
    np.testing.assert_array_equal(drawn.next_obs, drawn.obs + 1.0)

    late = Clock(pay=5.0)
    for slot in range(3):
        pool = refill(jax.random.key(slot), pool, jnp.asarray(slot), act, late, data, OPTIONS)
        share = float(jnp.mean(sample(KEY, pool, (4_000,)).pay == 5.0))
        np.testing.assert_allclose(share, (slot + 1) / 3, atol=0.08)


@pytest.mark.parametrize("first", [(0, 3, 7), ()])
def test_starts_are_of_all_data_of_the_newest_and_of_beginnings(first: tuple[int, ...]) -> None:
    rows = jnp.arange(12.0)[:, None]
    no = jnp.zeros(12, bool)
    begins = no.at[jnp.asarray(first, int)].set(True)
    data = Transitions(rows, rows, rows[:, 0], rows, no, begins, jnp.asarray(10))
    shares = {"newest_share": 0.5, "num_newest": 4, "initial_share": 0.25}
    options = dataclasses.replace(OPTIONS, **shares)
    keys = jax.random.split(KEY, 200)
    drawn = np.stack([draw_states(key, data, (2, 8), options)[..., 0] for key in keys])
    newest, any_, initial = np.split(drawn, [4, 6], axis=-1)
    assert set(newest.ravel()) == {6.0, 7.0, 8.0, 9.0}
    assert set(any_.ravel()) == set(range(10))
    assert set(initial.ravel()) == (set(first) or set(range(10)))


def test_a_shuffled_world_hands_every_rollout_to_all_members_in_turn() -> None:
    class Numbered(eqx.Module):
        num_members: int = eqx.field(static=True, default=3)

        def __call__(self, key, obs, action):
            number = jnp.broadcast_to(jnp.arange(3.0)[:, None], obs.shape[:2])
            return Clock()(key, obs, action)._replace(reward=number)

    obs = jnp.arange(12.0).reshape(3, 4, 1)
    world = Shuffled(Numbered())
    seen = [world(key, obs, obs) for key in jax.random.split(KEY, 300)]
    for one in seen:
        np.testing.assert_array_equal(one.next_obs, obs + 1.0)  # every row in its place again
    members = np.stack([one.reward for one in seen])
    assert (np.sort(members, axis=1) == np.arange(3.0)[None, :, None]).all()
    shares = np.stack([(members == member).mean(axis=0) for member in range(3)])
    np.testing.assert_allclose(shares, 1 / 3, atol=0.1)
