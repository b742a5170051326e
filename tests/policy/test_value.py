"""The value function: regression, rescaling, refusal."""

import jax
import jax.numpy as jnp
import numpy as np

from duopoly.policy.gradient.value import (
    ValueState,
    explained_variance,
    fit_value,
    init_value,
    rescale,
)
from duopoly.settings import ValueSettings

SETTINGS = ValueSettings(hidden=(32,), batch_size=100, epochs=100, learning_rate=1e-2)


def problem() -> tuple[jax.Array, jax.Array, jax.Array]:
    x = jax.random.normal(jax.random.key(0), (1_000, 3))
    target = 500.0 + 80.0 * x[:, 0] - 30.0 * x[:, 1] * x[:, 2]
    valid = jnp.arange(1_000) < 800
    return x, jnp.where(valid, target, -1e9), valid


def fitted() -> ValueState:
    x, target, valid = problem()
    state = init_value(jax.random.key(1), 3, SETTINGS)
    return fit_value(jax.random.key(2), state, x, target, valid, SETTINGS)[0]


def test_explains_targets_of_any_scale_and_ignores_padding() -> None:
    x, target, valid = problem()
    assert explained_variance(fitted().function, x, target, valid) > 0.95


def test_rescaling_leaves_the_function_unchanged() -> None:
    x, target, valid = problem()
    function = fitted().function
    rescaled = rescale(function, 7.0 * target - 3.0, valid)
    assert abs(float(rescaled.std / function.std) - 7.0) < 1e-3
    np.testing.assert_allclose(jax.vmap(rescaled)(x), jax.vmap(function)(x), rtol=1e-4, atol=0.05)


def test_an_exact_value_function_explains_everything() -> None:
    x, target = problem()[:2]
    function = fitted().function
    exact = jax.vmap(function)(x)
    valid = jnp.ones(1_000, bool)
    assert float(explained_variance(function, x, exact, valid)) == 1.0
    assert float(explained_variance(function, x, exact + 5.0, valid)) > 0.999
    assert np.isnan(explained_variance(function, x, target * 0.0, valid))


def test_a_non_finite_fit_is_refused() -> None:
    x, target, valid = problem()
    state = fitted()
    same, info = fit_value(jax.random.key(3), state, x, target.at[5].set(jnp.nan), valid, SETTINGS)
    assert info.is_refused
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(same), strict=True):
        np.testing.assert_array_equal(old, new)
