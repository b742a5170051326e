"""Advantages against a loop written straight from the definition."""

import jax.numpy as jnp
import numpy as np
import pytest

from duopoly.policy.returns import generalised_advantages, normalise_advantages


def advantages_by_definition(
    reward: np.ndarray,
    value: np.ndarray,
    next_value: np.ndarray,
    terminated: np.ndarray,
    discount: float,
    gae_lambda: float,
) -> np.ndarray:
    """Sum (γλ)^l δ_{t+l} forwards until termination or the end."""
    advantage = np.zeros(len(reward))
    for t in range(len(reward)):
        for k in range(t, len(reward)):
            bootstrap = 0.0 if terminated[k] else discount * next_value[k]
            delta = reward[k] + bootstrap - value[k]
            advantage[t] += (discount * gae_lambda) ** (k - t) * delta
            if terminated[k]:
                break
    return advantage


@pytest.mark.parametrize("terminal_steps", [[], [4], [9], [0, 5]])
@pytest.mark.parametrize("gae_lambda", [0.0, 0.9, 1.0])
def test_matches_the_definition(terminal_steps: list[int], gae_lambda: float) -> None:
    rng = np.random.default_rng(0)
    reward, value, next_value = rng.normal(size=(3, 10))
    terminated = np.isin(np.arange(10), terminal_steps)
    expected = advantages_by_definition(reward, value, next_value, terminated, 0.97, gae_lambda)
    got = generalised_advantages(
        *(jnp.asarray(x, jnp.float32) for x in (reward, value, next_value)),
        jnp.asarray(terminated),
        0.97,
        gae_lambda,
    )
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_end_of_imagination_bootstraps_and_termination_does_not() -> None:
    zero, ten = jnp.zeros(1), jnp.full(1, 10.0)
    goes_on = generalised_advantages(zero, zero, ten, jnp.array([False]), 0.5, 1.0)
    ends = generalised_advantages(zero, zero, ten, jnp.array([True]), 0.5, 1.0)
    assert float(goes_on[0]) == 5.0
    assert float(ends[0]) == 0.0


def test_normalised_over_the_valid_samples_only() -> None:
    advantage = jnp.array([1.0, 2.0, 3.0, 1e6])
    valid = jnp.array([True, True, True, False])
    out = np.asarray(normalise_advantages(advantage, valid))
    np.testing.assert_allclose(out[:3].mean(), 0.0, atol=1e-6)
    np.testing.assert_allclose(out[:3].std(), 1.0, rtol=1e-4)
    assert out[3] == 0.0
