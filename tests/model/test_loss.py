"""The model player's loss in its two forms, and moves that stay near where they began."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from duopoly.model.ensemble import predict
from duopoly.model.fit import BOOTSTRAP, ModelState, fit_model, init_model, measure
from duopoly.model.loss import Gaussian, divergence, gaussian, negative_log_likelihood
from duopoly.model.rows import all_rows, resample
from duopoly.networks import MLP
from duopoly.settings import ModelSettings
from duopoly.types import Transitions

RNG = np.random.default_rng(0)
N = 120
FULL_BATCH = ModelSettings(num_members=2, learning_rate=3e-2, batch_size=N)


def gaussians(num: int) -> Gaussian:
    mean, log_std = RNG.normal(size=(2, num, 3)).astype(np.float32)
    return Gaussian(jnp.asarray(mean), jnp.asarray(log_std))


def test_likelihood_is_that_of_scipy() -> None:
    predicted, y = gaussians(20), RNG.normal(size=(20, 3)).astype(np.float32)
    assert predicted.log_std is not None
    density = scipy.stats.norm(predicted.mean, np.exp(predicted.log_std))
    np.testing.assert_allclose(
        negative_log_likelihood(predicted, jnp.asarray(y)), -density.logpdf(y).mean(), rtol=1e-5
    )


def test_divergence_is_the_kl_divergence_by_quadrature() -> None:
    old, new = gaussians(4), gaussians(4)
    assert old.log_std is not None
    assert new.log_std is not None
    x = np.linspace(-60.0, 60.0, 200_001)[:, None, None]
    p = scipy.stats.norm(old.mean[None], np.exp(old.log_std)[None])
    q = scipy.stats.norm(new.mean[None], np.exp(new.log_std)[None])
    kl = np.trapezoid(p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), x, axis=0)
    np.testing.assert_allclose(divergence(old, new), kl.mean(), rtol=1e-3)
    means = Gaussian(old.mean, None), Gaussian(new.mean, None)
    np.testing.assert_allclose(divergence(*means), np.square(old.mean - new.mean).mean(), rtol=1e-5)


def test_log_standard_deviation_is_bounded() -> None:
    raw = jnp.linspace(-50.0, 50.0, 101)
    prediction = gaussian(jnp.stack([raw, raw], axis=1), (-4.0, 1.0))
    assert prediction.log_std is not None
    np.testing.assert_array_equal(prediction.mean[:, 0], raw)
    assert -4.0 <= float(prediction.log_std.min()) < -3.99
    assert 1.0 <= float(prediction.log_std.max()) < 1.0 + np.log1p(np.exp(-5.0)) + 1e-5
    assert bool((jnp.diff(prediction.log_std[:, 0]) >= 0.0).all())
    middle = prediction.log_std[40:61, 0] - raw[40:61]  # within the bounds nearly the identity
    assert float(jnp.abs(middle[8:9]).max()) < 0.2
    assert gaussian(raw, None) == (raw, None)


def random_data(seed: int, scale: float) -> Transitions:
    rng = np.random.default_rng(seed)
    obs, action = rng.normal(size=(N, 2)), rng.uniform(-1.0, 1.0, (N, 1))
    change = scale * np.stack([np.sin(3 * obs[:, 0]) + action[:, 0], obs[:, 1] ** 2], axis=1)
    rows = [jnp.asarray(x, jnp.float32) for x in (obs, action, obs[:, 0], obs + change)]
    no = jnp.zeros(N, bool)
    return Transitions(*rows, no, no, jnp.asarray(N))


def linear_model(data: Transitions, settings: ModelSettings) -> ModelState:
    """A model of linear members, as if it had been fitted to the data before."""
    state = init_model(jax.random.key(0), 2, 1, (0, 1), settings)
    keys = jax.random.split(jax.random.key(1), settings.num_members)
    num_outputs = 2 if settings.loss == "squared" else 4
    linear = eqx.filter_vmap(lambda k: MLP(k, (3, num_outputs), "relu"))(keys)
    ensemble = eqx.tree_at(lambda e: e.members, state.ensemble, linear)
    return ModelState(measure(ensemble, data, 100.0), jnp.ones((), jnp.int32))


def predictions(state: ModelState, data: Transitions) -> np.ndarray:
    """What each member says of the changes [E N obs], in their own units."""
    both = [jnp.broadcast_to(x, (2, *x.shape)) for x in (data.obs, data.action)]
    return np.asarray(predict(state.ensemble, *both) - data.obs[None])


def least_squares(data: Transitions, rows: np.ndarray) -> np.ndarray:
    """The changes as the best affine function of (obs, action) on some rows has them [N obs]."""
    x = np.concatenate([data.obs, data.action, np.ones((N, 1))], axis=1)
    change = np.asarray(data.next_obs - data.obs)
    return x @ np.linalg.lstsq(x[rows], change[rows], rcond=None)[0]


def long_fit(state: ModelState, data: Transitions, settings: ModelSettings) -> ModelState:
    settings = dataclasses.replace(settings, clip_sigmas=100.0)
    return fit_model(jax.random.key(2), state, data, settings, 400)[0]


@pytest.mark.parametrize("weight", [0.5, 1e4])
def test_proximal_step_of_a_linear_model_has_a_closed_form(weight: float) -> None:
    data, before = random_data(0, 1.0), random_data(1, 3.0)
    start = linear_model(before, FULL_BATCH)
    settings = dataclasses.replace(FULL_BATCH, proximal=weight)
    fitted = predictions(long_fit(start, data, settings), data)
    best = least_squares(data, np.arange(N))
    expected = (best[None] + weight * predictions(start, data)) / (1.0 + weight)
    np.testing.assert_allclose(fitted, expected, atol=0.03 * np.abs(expected).max())
    assert np.abs(best[None] - predictions(start, data)).mean() > 0.5


def test_without_weight_or_before_the_first_fit_it_is_the_plain_fit() -> None:
    data = random_data(0, 1.0)
    start = linear_model(data, FULL_BATCH)
    plain = long_fit(start, data, FULL_BATCH)
    np.testing.assert_allclose(
        predictions(plain, data), np.tile(least_squares(data, np.arange(N)), (2, 1, 1)), atol=0.02
    )
    fresh = eqx.tree_at(lambda s: s.num_fits, start, jnp.zeros((), jnp.int32))
    proximal = long_fit(fresh, data, dataclasses.replace(FULL_BATCH, proximal=0.5))
    np.testing.assert_allclose(predictions(proximal, data), predictions(plain, data), atol=1e-4)


def test_a_likelihood_model_fits_means_and_spreads_unless_its_step_is_proximal() -> None:
    data = random_data(0, 1.0)
    likelihood = dataclasses.replace(
        FULL_BATCH, loss="likelihood", min_log_std=-20.0, max_log_std=5.0
    )
    start = linear_model(data, likelihood)
    free = long_fit(start, data, likelihood)
    held = long_fit(start, data, dataclasses.replace(likelihood, proximal=1e4))
    moved = np.abs(predictions(free, data) - predictions(start, data)).mean()
    assert np.abs(predictions(held, data) - predictions(start, data)).mean() < 0.02 * moved

    x = jax.vmap(start.ensemble.inputs)(jnp.concatenate([data.obs, data.action], axis=1))
    y = jax.vmap(start.ensemble.targets)(data.next_obs - data.obs)
    for i in range(2):
        member = jax.tree.map(lambda leaf: leaf[i], free.ensemble.members)  # noqa: B023
        prediction = gaussian(jax.vmap(member)(x), free.ensemble.bounds)
        assert prediction.log_std is not None
        # At the optimum of the likelihood the errors have variance 1 in units of the spread.
        z = (y - prediction.mean) * jnp.exp(-prediction.log_std)
        np.testing.assert_allclose(jnp.mean(z**2, axis=0), 1.0, atol=0.2)


def test_bootstrapped_members_fit_their_own_resample() -> None:
    data = random_data(0, 1.0)
    start = linear_model(data, FULL_BATCH)
    fitted = predictions(
        long_fit(start, data, dataclasses.replace(FULL_BATCH, bootstrap=True)), data
    )
    for key, change in zip(jax.random.split(jax.random.key(2), 2), fitted, strict=True):
        rows = np.asarray(resample(jax.random.fold_in(key, BOOTSTRAP), all_rows(data)).rows)
        np.testing.assert_allclose(change, least_squares(data, rows), atol=0.02)
    assert np.abs(fitted[0] - fitted[1]).mean() > 0.05
