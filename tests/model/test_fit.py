"""The model player: what it learns, what it ignores, what it refuses."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from duopoly.model.ensemble import predict
from duopoly.model.fit import (
    ModelState,
    fit_model,
    init_model,
    prediction_error,
)
from duopoly.model.loss import squared_error
from duopoly.model.objective import inputs_and_targets
from duopoly.model.rows import hold_out
from duopoly.networks import Normaliser
from duopoly.settings import ModelSettings
from duopoly.types import Transitions

SETTINGS = ModelSettings(num_members=3, hidden=(32,), learning_rate=1e-2, batch_size=50)
LEARNED = (0, 1, 3)


def linear_world(num_rows: int, num_padding: int = 0, seed: int = 0) -> Transitions:
    """A linear system of four components, of which the third is a constant goal."""
    keys = jax.random.split(jax.random.key(seed), 2)
    obs = jax.random.normal(keys[0], (num_rows, 4)).at[:, 2].set(5.0)
    action = jax.random.uniform(keys[1], (num_rows, 2), minval=-1.0, maxval=1.0)
    change = jnp.stack(
        [0.1 * obs[:, 1], action[:, 0], jnp.zeros(num_rows), obs[:, 0] - action[:, 1]], axis=1
    )
    rows = (obs, action, jnp.sum(obs, axis=1), obs + change)
    padded = [jnp.concatenate([x, jnp.full((num_padding, *x.shape[1:]), 1e6)]) for x in rows]
    no = jnp.zeros(num_rows + num_padding, bool)
    return Transitions(*padded, no, no, jnp.asarray(num_rows))


@pytest.fixture
def untrained() -> ModelState:
    return init_model(jax.random.key(7), 4, 2, LEARNED, SETTINGS)


def fitted(state: ModelState, data: Transitions, num_epochs: int = 30) -> ModelState:
    return fit_model(jax.random.key(1), state, data, SETTINGS, num_epochs)[0]


def test_learns_a_linear_world_and_generalises(untrained: ModelState) -> None:
    state = fitted(untrained, linear_world(1_000))
    held_out = linear_world(200, seed=9)
    assert float(prediction_error(state.ensemble, held_out).max()) < 0.01
    repeated = [jnp.broadcast_to(x, (3, *x.shape)) for x in (held_out.obs, held_out.action)]
    next_obs = predict(state.ensemble, *repeated)
    assert float(jnp.abs(next_obs - held_out.next_obs[None]).mean()) < 0.05


def test_the_model_sees_actions_as_the_world_does_clipped(untrained: ModelState) -> None:
    data = linear_world(300)
    drawn = data._replace(action=2.5 * data.action)
    clipped = drawn._replace(action=jnp.clip(drawn.action, -1.0, 1.0))
    states = [fitted(untrained, seen, num_epochs=2) for seen in (drawn, clipped)]
    for a, b in zip(*map(jax.tree.leaves, states), strict=True):
        np.testing.assert_array_equal(a, b)
    errors = [prediction_error(states[0].ensemble, seen) for seen in (drawn, clipped)]
    np.testing.assert_array_equal(*errors)


def test_members_differ_before_and_after_the_fit(untrained: ModelState) -> None:
    for state in (untrained, fitted(untrained, linear_world(500))):
        for weight in (layer.weight for layer in state.ensemble.members.layers):
            for i in range(3):
                for j in range(i):
                    assert float(jnp.abs(weight[i] - weight[j]).max()) > 1e-3


def test_many_refits_of_the_same_data_never_make_them_worse() -> None:
    rng = np.random.default_rng(0)
    obs, action = rng.normal(size=(600, 3)), rng.uniform(-1.0, 1.0, (600, 2))
    push = np.append(action, action[:, :1] * action[:, 1:], axis=1)
    rows = (obs, action, obs[:, 0], obs + np.sin(obs) * push)
    no = jnp.zeros(600, bool)
    data = Transitions(*(jnp.asarray(x, jnp.float32) for x in rows), no, no, jnp.asarray(600))
    settings = ModelSettings(num_members=2, hidden=(32, 32), learning_rate=0.04, batch_size=60)
    state = init_model(jax.random.key(0), 3, 2, (0, 1, 2), settings)
    losses = []
    for key in jax.random.split(jax.random.key(1), 26):
        state, info = fit_model(key, state, data, settings, 60)
        losses.append(float(jnp.mean(info.loss)))
    assert max(losses[5:]) < min(losses[:2])
    assert max(losses[-8:]) < min(losses[4:8])


def test_padding_changes_nothing(untrained: ModelState) -> None:
    state, info = fit_model(jax.random.key(1), untrained, linear_world(300), SETTINGS, 3)
    padded = linear_world(300, num_padding=77)
    same, same_info = fit_model(jax.random.key(1), untrained, padded, SETTINGS, 3)
    # Batches differ, since the shuffle draws for the padding as well; statistics must not.
    for name in ("inputs", "targets", "low", "high"):
        old, new = getattr(state.ensemble, name), getattr(same.ensemble, name)
        for a, b in zip(jax.tree.leaves(old), jax.tree.leaves(new), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(info.loss, same_info.loss, rtol=0.3)
    assert int(info.num_steps) == int(same_info.num_steps) == 18


def test_loss_is_the_mean_squared_error_of_normalised_changes(untrained: ModelState) -> None:
    data = linear_world(60)
    state = fitted(untrained, data, num_epochs=2)
    obs, next_obs = np.asarray(data.obs), np.asarray(data.next_obs)
    change = (next_obs - obs)[:, list(LEARNED)]
    target = (change - change.mean(0)) / change.std(0)
    x = np.concatenate([obs, data.action], axis=1)
    std = np.where(x.std(0) < 1e-6, 1.0, x.std(0))
    x = jnp.asarray((x - x.mean(0)) / std)
    for i, error in enumerate(prediction_error(state.ensemble, data)):
        member = jax.tree.map(lambda leaf: leaf[i], state.ensemble.members)  # noqa: B023
        predicted = np.array([member(row) for row in x])
        expected = np.mean((predicted - target) ** 2)
        np.testing.assert_allclose(error, expected, rtol=1e-3)
        x_ours, y_ours = inputs_and_targets(state.ensemble, data)
        np.testing.assert_allclose(squared_error(member, x_ours, y_ours), expected, rtol=1e-3)


def test_constant_component_is_carried_over_and_never_divides_by_zero(
    untrained: ModelState,
) -> None:
    state = fitted(untrained, linear_world(300), num_epochs=2)
    obs = jnp.ones((3, 5, 4)).at[:, :, 2].set(5.0)
    next_obs = predict(state.ensemble, obs, jnp.zeros((3, 5, 2)))
    np.testing.assert_array_equal(next_obs[:, :, 2], 5.0)
    assert np.isfinite(next_obs).all()


def test_predictions_stay_near_the_data(untrained: ModelState) -> None:
    data = linear_world(300)
    state = fitted(untrained, data, num_epochs=2)
    far = predict(state.ensemble, jnp.full((3, 1, 4), 1e4), jnp.zeros((3, 1, 2)))
    value = np.asarray(data.next_obs)[:, list(LEARNED)]
    limit = value.max(0) + SETTINGS.clip_sigmas * value.std(0)
    np.testing.assert_allclose(far[0, 0, jnp.array(LEARNED)], limit, rtol=1e-5)


def test_a_member_that_breaks_keeps_its_parameters(untrained: ModelState) -> None:
    healthy = fitted(untrained, linear_world(300), num_epochs=2)
    bias = healthy.ensemble.members.layers[0].bias.at[1, 0].set(jnp.nan)
    broken = eqx.tree_at(lambda s: s.ensemble.members.layers[0].bias, healthy, bias)
    state, info = fit_model(jax.random.key(3), broken, linear_world(300), SETTINGS, 2)
    np.testing.assert_array_equal(info.is_refused, [False, True, False])
    weight = state.ensemble.members.layers[0].weight
    np.testing.assert_array_equal(weight[1], broken.ensemble.members.layers[0].weight[1])
    assert float(jnp.abs(weight[0] - broken.ensemble.members.layers[0].weight[0]).max()) > 0


def test_a_constant_component_may_only_be_predicted_as_it_is(untrained: ModelState) -> None:
    data = linear_world(300)
    still = data._replace(obs=data.obs.at[:, 3].set(5.0), next_obs=data.next_obs.at[:, 3].set(5.0))
    ensemble = fitted(untrained, still, num_epochs=1).ensemble
    assert (float(ensemble.low[2]), float(ensemble.high[2])) == (5.0, 5.0)


@pytest.mark.parametrize("num_rows", [50, 10_000, 100_000])
def test_a_long_constant_column_is_not_scaled(num_rows: int) -> None:
    column = jnp.full((num_rows + 3_333, 1), 3.7)
    normaliser = jax.jit(Normaliser.of)(column, jnp.arange(len(column)) < num_rows)
    assert float(normaliser.std[0]) == 1.0
    np.testing.assert_allclose(normaliser.mean, 3.7, rtol=1e-3)


def test_normaliser_measures_the_valid_rows() -> None:
    x = np.random.default_rng(0).normal(3.0, 2.0, (50, 2)).astype(np.float32)
    x[:, 1] = 4.0
    padded = jnp.concatenate([jnp.asarray(x), jnp.full((10, 2), jnp.float32(1e8))])
    normaliser = Normaliser.of(padded, jnp.arange(60) < 50)
    np.testing.assert_allclose(normaliser.mean, x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(normaliser.std, [x[:, 0].std(), 1.0], rtol=1e-4)
    np.testing.assert_allclose(normaliser.invert(normaliser(padded[0])), padded[0], rtol=1e-5)


def test_a_fit_reports_the_error_of_what_it_keeps() -> None:
    data = linear_world(300, num_padding=50)
    settings = dataclasses.replace(SETTINGS, holdout=0.2, patience=1)
    start = init_model(jax.random.key(7), 4, 2, LEARNED, settings)
    state, info = fit_model(jax.random.key(1), start, data, settings, 60)
    assert not info.is_refused.any()
    assert int(info.num_epochs.min()) < 60
    assert int(info.num_steps) == 5 * int(info.num_epochs.max())  # 240 rows, 50 at a time
    _, validation = hold_out(data, 0.2)
    rows = np.asarray(validation.rows)[:60]
    x = jax.vmap(state.ensemble.inputs)(jnp.concatenate([data.obs, data.action], 1)[rows])
    change = (data.next_obs - data.obs)[rows][:, jnp.array(LEARNED)]
    y = jax.vmap(state.ensemble.targets)(change)
    for i, error in enumerate(info.holdout_error):
        member = jax.tree.map(lambda leaf: leaf[i], state.ensemble.members)  # noqa: B023
        np.testing.assert_allclose(error, np.mean((jax.vmap(member)(x) - y) ** 2), rtol=1e-3)
