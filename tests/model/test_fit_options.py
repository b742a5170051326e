"""Options of the model player: a budget of steps, weight decay, layer norm, a noise level."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duopoly.model.ensemble import predict
from duopoly.model.fit import fit_model, init_model, prediction_error
from duopoly.model.loss import gaussian
from duopoly.model.objective import inputs_and_targets
from duopoly.networks import MLP, standardise, thinned
from duopoly.settings import ModelSettings
from duopoly.types import Transitions

KEY = jax.random.key(7)
SETTINGS = ModelSettings(num_members=2, hidden=(32,), learning_rate=1e-2, batch_size=50)


def noisy_world(num_rows: int, seed: int = 0) -> Transitions:
    """Two components: the first follows the action, the second too, but with much noise."""
    keys = jax.random.split(jax.random.key(seed), 3)
    obs = jax.random.normal(keys[0], (num_rows, 2))
    action = jax.random.uniform(keys[1], (num_rows, 1), minval=-1.0, maxval=1.0)
    noise = jnp.asarray([[0.01, 0.5]]) * jax.random.normal(keys[2], (num_rows, 2))
    no = jnp.zeros(num_rows, bool)
    next_obs = obs + action + noise
    return Transitions(obs, action, obs[:, 0], next_obs, no, no, jnp.asarray(num_rows))


def test_a_fit_makes_no_more_steps_than_it_may() -> None:
    data = noisy_world(1_000)  # twenty steps an epoch
    state = init_model(KEY, 2, 1, (0, 1), SETTINGS)
    whole, told = fit_model(KEY, state, data, SETTINGS, 3)
    assert int(told.num_steps) == 60
    free, told_free = fit_model(KEY, state, data, SETTINGS, 3, max_steps=1_000)
    assert int(told_free.num_steps) == 60
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(free), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)  # two programs round apart
    part, told_part = fit_model(KEY, state, data, SETTINGS, 1_000, max_steps=50)
    assert int(told_part.num_steps) == 50
    assert int(told_part.num_epochs.max()) == 3
    assert float(prediction_error(part.ensemble, data).max()) < 1.1 * float(
        prediction_error(whole.ensemble, data).max()
    )  # the step size has fallen as far


def test_few_steps_are_a_part_of_an_epoch() -> None:
    settings = dataclasses.replace(SETTINGS, holdout=0.2)
    state = init_model(KEY, 2, 1, (0, 1), settings)
    for one in (SETTINGS, settings):
        _, told = fit_model(KEY, state, noisy_world(1_000), one, 5, max_steps=3)
        assert int(told.num_steps) == 3
        assert np.isfinite(told.loss).all()


def test_dropout_makes_predictions_that_few_units_decide_less() -> None:
    """What is lost by leaving units out, beside what the whole networks lose."""
    data = noisy_world(1_000)

    def harm(rate: float) -> float:
        settings = dataclasses.replace(SETTINGS, dropout=rate)
        state = init_model(KEY, 2, 1, (0, 1), settings)
        state, _ = fit_model(KEY, state, data, settings, 30)
        keys = jax.random.split(KEY, 2)
        thin = jax.vmap(lambda key, one: thinned(key, one, 0.2))(keys, state.ensemble.members)
        ensemble = dataclasses.replace(state.ensemble, members=thin)
        return float(
            jnp.mean(prediction_error(ensemble, data) - prediction_error(state.ensemble, data))
        )

    assert harm(0.2) < 0.7 * harm(0.0)


def test_a_thinned_network_is_the_whole_one_on_average() -> None:
    network, x = MLP(KEY, (3, 16, 2), "silu", layer_norm=True), jnp.asarray([0.3, -1.0, 2.0])
    keys = jax.random.split(KEY, 4_000)
    outputs = jax.vmap(lambda key: thinned(key, network, 0.25)(x))(keys)
    assert outputs.std() > 0.1
    np.testing.assert_allclose(outputs.mean(axis=0), network(x), atol=0.1)


def test_weight_decay_keeps_weights_small() -> None:
    def size(decay: float) -> float:
        settings = dataclasses.replace(SETTINGS, weight_decay=decay)
        state = init_model(KEY, 2, 1, (0, 1), settings)
        state, _ = fit_model(KEY, state, noisy_world(500), settings, 20)
        return float(jnp.mean(state.ensemble.members.layers[0].weight ** 2))

    assert size(1.0) < 0.7 * size(0.0)


def test_layer_norm_is_that_of_every_hidden_layer() -> None:
    network = MLP(KEY, (3, 8, 8, 2), "silu", layer_norm=True)
    x = jnp.asarray([1.0, -2.0, 0.5])
    for layer in network.layers[:-1]:
        x = standardise(jax.nn.silu(layer(x)))
        np.testing.assert_allclose([x.mean(), x.var()], [0.0, 1.0], atol=1e-3)
    np.testing.assert_allclose(network(jnp.asarray([1.0, -2.0, 0.5])), network.layers[-1](x))
    settings = dataclasses.replace(SETTINGS, layer_norm=True)
    state = init_model(KEY, 2, 1, (0, 1), settings)
    assert state.ensemble.members.layer_norm
    state, _ = fit_model(KEY, state, noisy_world(1_000), settings, 20)
    error = prediction_error(state.ensemble, noisy_world(1_000, seed=1))
    assert float(error.max()) < 0.4  # half of what is to be predicted is noise in one of two


def test_a_noise_level_is_that_of_every_output() -> None:
    settings = dataclasses.replace(SETTINGS, loss="noise_level")
    state = init_model(KEY, 2, 1, (0, 1), settings)
    state, _ = fit_model(KEY, state, noisy_world(4_000), settings, 40)
    ensemble = state.ensemble
    x, _ = inputs_and_targets(ensemble, noisy_world(50, seed=1))
    told = gaussian(
        jax.vmap(jax.vmap(lambda m, x: m(x), (None, 0)), (0, None))(ensemble.members, x),
        ensemble.bounds,
    )
    assert told.log_std is not None
    level = jnp.exp(told.log_std) * ensemble.targets.std[None, None]
    np.testing.assert_array_equal(level, np.broadcast_to(level[:, :1], level.shape))
    assert level[0, 0, 0] == pytest.approx(0.01, rel=0.5)
    assert level[0, 0, 1] == pytest.approx(0.5, rel=0.1)
    obs, action = jnp.zeros((2, 2_000, 2)), jnp.zeros((2, 2_000, 1))
    spread = predict(ensemble, obs, action, KEY).std(axis=1)
    np.testing.assert_allclose(spread, level[:, 0], rtol=0.1)
    quieter = dataclasses.replace(settings, noise_share=0.25)
    state = init_model(KEY, 2, 1, (0, 1), quieter)
    state, _ = fit_model(KEY, state, noisy_world(4_000), quieter, 40)
    spread = predict(state.ensemble, obs, action, KEY).std(axis=1)
    np.testing.assert_allclose(spread, 0.25 * level[:, 0], rtol=0.1)
