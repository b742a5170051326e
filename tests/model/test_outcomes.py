"""Reward and termination, learned where the task does not tell them."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from probes import LIMIT, POINT, point_reward

from duopoly.game.known import known_functions, learned_outputs
from duopoly.model.dynamics import LearnedWorld
from duopoly.model.ensemble import init_ensemble, predict
from duopoly.model.fit import fit_model, init_model, measure
from duopoly.model.outcomes import (
    LearnedOutputs,
    RewardTerminationNets,
    init_outcomes,
    log_odds,
    measure_outcomes,
    outcome_error,
    outcome_losses,
    outcome_targets,
    predict_outcomes,
)
from duopoly.settings import ModelSettings
from duopoly.types import Transitions

SETTINGS = ModelSettings(
    num_members=2, hidden=(8,), outcome_hidden=(64, 64), learning_rate=1e-2, batch_size=50
)
BOTH = LearnedOutputs(reward=True, termination=True)
N = 1_000


def point_data(seed: int = 0, num_padding: int = 0) -> Transitions:
    """Steps of the point, some of them over the edge; padding is nonsense."""
    rng = np.random.default_rng(seed)
    obs = np.append(rng.uniform(-LIMIT, LIMIT, (N, 2)), np.full((N, 1), 3.0), axis=1)
    action = rng.uniform(-1.0, 1.0, (N, 2))
    next_obs = obs + 0.4 * np.append(action, np.zeros((N, 1)), axis=1)
    reward = -np.sum(next_obs[:, :2] ** 2, axis=1)
    terminated = np.abs(next_obs[:, 0]) > LIMIT
    rows = (obs, action, reward, next_obs)
    padded = [
        jnp.asarray(np.concatenate([x, np.full((num_padding, *x.shape[1:]), 1e6)]), jnp.float32)
        for x in rows
    ]
    ends = jnp.asarray(np.append(terminated, np.ones(num_padding, bool)))
    return Transitions(*padded, ends, jnp.zeros(len(ends), bool), jnp.asarray(N))


def untrained(outputs: LearnedOutputs = BOTH) -> RewardTerminationNets:
    outcomes = init_outcomes(jax.random.key(0), 3, 2, SETTINGS, outputs)
    assert outcomes is not None
    return outcomes


def at(data: Transitions) -> list[jax.Array]:
    """The data as arguments of `predict_outcomes`, with the axis of the members."""
    rows = (x[:N] for x in (data.obs, data.action, data.next_obs))
    return [jnp.broadcast_to(x, (2, *x.shape)) for x in rows]


def test_losses_are_squared_and_logistic() -> None:
    data = point_data()
    outcomes = measure_outcomes(untrained(), data, 2.0)
    bias = outcomes.members.layers[-1].bias + jnp.array([[0.3, -0.7]])
    outcomes = eqx.tree_at(lambda o: o.members.layers[-1].bias, outcomes, bias)
    member = jax.tree.map(lambda leaf: leaf[1], outcomes.members)
    of_reward, of_end = outcome_losses(outcomes, member, outcome_targets(outcomes, data))
    reward = np.asarray(data.reward)
    z = (reward - reward.mean()) / reward.std()
    np.testing.assert_allclose(of_reward, (0.3 - z) ** 2, rtol=1e-3, atol=1e-3)
    share = np.mean(data.terminated)
    logit = jnp.full(N, -0.7 + np.log(share / (1.0 - share)))
    expected = optax.sigmoid_binary_cross_entropy(logit, data.terminated * 1.0)
    np.testing.assert_allclose(of_end, expected, rtol=1e-4)
    means = outcome_error(outcomes, point_data(num_padding=70))
    np.testing.assert_allclose(means.reward, of_reward.mean(), rtol=1e-4)
    np.testing.assert_allclose(means.termination, of_end.mean(), rtol=1e-4)


def test_the_point_is_learned_from_its_steps() -> None:
    state = init_model(jax.random.key(0), 3, 2, (0, 1), SETTINGS, BOTH)
    data, fresh = point_data(num_padding=70), point_data(seed=1)
    state, info = fit_model(jax.random.key(1), state, data, SETTINGS, 40)
    assert not info.is_refused.any()
    outcomes = state.ensemble.outcomes
    assert outcomes is not None
    reward, terminated, _ = predict_outcomes(jax.random.key(2), outcomes, *at(fresh))
    error = np.mean((reward - fresh.reward[None]) ** 2, axis=1)
    assert (error < 0.02 * np.var(fresh.reward)).all()
    distance = np.abs(fresh.next_obs[:, 0])
    assert terminated[:, distance > LIMIT + 0.1].mean() > 0.8
    assert terminated[:, distance < LIMIT - 0.2].mean() < 0.01
    assert not np.array_equal(reward[0], reward[1])


def test_before_it_knows_anything_as_many_worlds_end_as_did() -> None:
    outcomes = measure_outcomes(untrained(), point_data(num_padding=70), 2.0)
    share = float(np.mean(point_data().terminated))
    np.testing.assert_allclose(outcomes.end_share, share, rtol=1e-5)
    np.testing.assert_allclose(jax.nn.sigmoid(log_odds(outcomes)), share, rtol=1e-4)
    reward, terminated, _ = predict_outcomes(jax.random.key(0), outcomes, *at(point_data()))
    assert abs(float(terminated.mean()) / share - 1.0) < 0.2
    assert not np.array_equal(terminated[0], terminated[1])  # each member draws for itself
    np.testing.assert_allclose(reward, np.mean(point_data().reward), rtol=1e-4)


def test_a_world_never_seen_to_end_does_not_end() -> None:
    data = point_data()
    endless = data._replace(terminated=jnp.zeros(N, bool))
    outcomes = measure_outcomes(untrained(), endless, 2.0)
    bias = outcomes.members.layers[-1].bias + 100.0
    outcomes = eqx.tree_at(lambda o: o.members.layers[-1].bias, outcomes, bias)
    reward, terminated, _ = predict_outcomes(jax.random.key(0), outcomes, *at(data))
    assert not terminated.any()
    limit = np.max(data.reward) + 2.0 * np.std(data.reward)
    np.testing.assert_allclose(reward, limit, rtol=1e-3)  # and no reward is beyond belief


@pytest.mark.parametrize("forced", ["reward", "termination"])
def test_what_is_known_is_not_learned_unless_asked_for(forced: str) -> None:
    settings = dataclasses.replace(SETTINGS, **{f"learn_{forced}": True})
    assert learned_outputs(POINT, SETTINGS) == LearnedOutputs()
    outputs = learned_outputs(POINT, settings)
    assert outputs == LearnedOutputs(**{forced: True})
    ensemble = init_ensemble(jax.random.key(0), 3, 2, (0, 1), settings, outputs)
    data = point_data()
    ensemble = measure(ensemble, data._replace(terminated=data.terminated | True), 2.0)
    known = known_functions(POINT, settings)
    world = LearnedWorld(ensemble, known)
    obs = jnp.tile(jnp.array([0.5, 0.5, 3.0]), (2, 4, 1))
    prediction = world(jax.random.key(0), obs, jnp.zeros((2, 4, 2)))
    rewards = jax.vmap(jax.vmap(point_reward))(obs, obs[:, :, :2], prediction.next_obs)
    assert np.allclose(prediction.reward, rewards, rtol=1e-5) == (forced == "termination")
    assert bool(prediction.terminated.all()) == (forced == "termination")  # as all of the data did
    with pytest.raises(ValueError, match=f"{forced} is neither known nor learned"):
        LearnedWorld(
            init_ensemble(jax.random.key(0), 3, 2, (0, 1), SETTINGS),
            known,
        )


def test_a_likelihood_model_draws_what_comes_next() -> None:
    settings = dataclasses.replace(SETTINGS, loss="likelihood")
    ensemble = init_ensemble(jax.random.key(0), 3, 2, (0, 1), settings)
    ensemble = measure(ensemble, point_data(), 100.0)
    # Every prediction is N(0, exp(-1)²) in units of the changes' standard deviation.
    last = jax.tree.map(jnp.zeros_like, ensemble.members.layers[-1])
    low, high = ensemble.bounds or (0.0, 0.0)
    below = low + np.log(np.expm1(-1.0 - low))
    raw = high - np.log(np.expm1(high - below))
    last = eqx.tree_at(lambda layer: layer.bias, last, last.bias.at[:, 2:].set(raw))
    ensemble = eqx.tree_at(lambda e: e.members.layers[-1], ensemble, last)
    obs, action = jnp.ones((2, 4_000, 3)), jnp.zeros((2, 4_000, 2))
    world = LearnedWorld(ensemble, known_functions(POINT))
    drawn = world(jax.random.key(3), obs, action).next_obs
    mean = predict(ensemble, obs, action)
    np.testing.assert_array_equal(mean, np.tile(mean[:1, :1], (2, 4_000, 1)))
    spread = np.exp(-1.0) * np.asarray(ensemble.targets.std)
    np.testing.assert_allclose((drawn - mean)[:, :, :2].std(axis=1), [spread] * 2, rtol=0.05)
    np.testing.assert_allclose(drawn[:, :, :2].mean(axis=1), mean[:, 0, :2], atol=0.05)
    np.testing.assert_array_equal(drawn[:, :, 2], 1.0)  # what is constant stays so
    correlation = np.corrcoef(drawn[0, :, 0], drawn[1, :, 0])[0, 1]
    assert abs(correlation) < 0.06  # members are independent
    again = world(jax.random.key(3), obs, action).next_obs
    np.testing.assert_array_equal(drawn, again)


def test_outcomes_see_actions_as_the_world_does_clipped() -> None:
    data = point_data()
    drawn = data._replace(action=2.5 * data.action)
    clipped = drawn._replace(action=jnp.clip(drawn.action, -1.0, 1.0))
    found = [measure_outcomes(untrained(), seen, 2.0) for seen in (drawn, clipped)]
    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_array_equal(a, b)
    inputs = [outcome_targets(found[0], seen).x for seen in (drawn, clipped)]
    np.testing.assert_array_equal(*inputs)
