"""Advantages against a loop written straight from the definition."""

import jax.numpy as jnp
import numpy as np
import pytest

from duopoly.policy.returns import generalised_advantages, normalise_advantages, tail_weights


def advantages_by_definition(
    reward: np.ndarray,
    value: np.ndarray,
    next_value: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    discount: float,
    gae_lambda: float,
) -> np.ndarray:
    """Sum (γλ)^l δ_{t+l} forwards until termination, truncation or the end."""
    advantage = np.zeros(len(reward))
    for t in range(len(reward)):
        for k in range(t, len(reward)):
            bootstrap = 0.0 if terminated[k] else discount * next_value[k]
            delta = reward[k] + bootstrap - value[k]
            advantage[t] += (discount * gae_lambda) ** (k - t) * delta
            if terminated[k] or truncated[k]:
                break
    return advantage


@pytest.mark.parametrize("truncated_steps", [[], [2], [6, 9]])
@pytest.mark.parametrize("terminal_steps", [[], [4], [9], [0, 5]])
@pytest.mark.parametrize("gae_lambda", [0.0, 0.9, 1.0])
def test_matches_the_definition(
    terminal_steps: list[int], truncated_steps: list[int], gae_lambda: float
) -> None:
    rng = np.random.default_rng(0)
    reward, value, next_value = rng.normal(size=(3, 10))
    terminated = np.isin(np.arange(10), terminal_steps)
    truncated = np.isin(np.arange(10), truncated_steps)
    expected = advantages_by_definition(
        reward, value, next_value, terminated, truncated, 0.97, gae_lambda
    )
    got = generalised_advantages(
        *(jnp.asarray(x, jnp.float32) for x in (reward, value, next_value)),
        jnp.asarray(terminated),
        jnp.asarray(truncated),
        0.97,
        gae_lambda,
    )
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_end_of_imagination_bootstraps_and_termination_does_not() -> None:
    zero, ten = jnp.zeros(1), jnp.full(1, 10.0)
    no, yes = jnp.array([False]), jnp.array([True])
    goes_on = generalised_advantages(zero, zero, ten, no, no, 0.5, 1.0)
    cut_short = generalised_advantages(zero, zero, ten, no, yes, 0.5, 1.0)
    ends = generalised_advantages(zero, zero, ten, yes, no, 0.5, 1.0)
    assert float(goes_on[0]) == float(cut_short[0]) == 5.0
    assert float(ends[0]) == 0.0


def test_normalised_over_the_valid_samples_only() -> None:
    advantage = jnp.array([1.0, 2.0, 3.0, 1e6])
    out, std = normalise_advantages(advantage, jnp.array([1.0, 1.0, 1.0, 0.0]))
    np.testing.assert_allclose(std, np.std([1.0, 2.0, 3.0]), rtol=1e-6)
    np.testing.assert_allclose(out[:3].mean(), 0.0, atol=1e-6)
    np.testing.assert_allclose(out[:3].std(), 1.0, rtol=1e-4)
    assert out[3] == 0.0


def test_normalised_by_weight_as_if_repeated() -> None:
    weighted, std = normalise_advantages(jnp.array([1.0, 5.0]), jnp.array([3.0, 1.0]))
    repeated, std_repeated = normalise_advantages(jnp.array([1.0, 1.0, 1.0, 5.0]), jnp.ones(4))
    np.testing.assert_allclose(weighted, repeated[jnp.array([0, 3])], rtol=1e-6)
    np.testing.assert_allclose(std, std_repeated, rtol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.25, 0.4, 0.5, 0.99, 1.0])
def test_tail_weights_give_the_conditional_value_at_risk(alpha: float) -> None:
    return_ = jnp.array([3.0, -1.0, 7.0, 0.5])
    # CVaR_α = max_c c − E[(c − J)₊]/α, whose maximum is at one of the returns.
    cvar = max(
        float(c - jnp.mean(jnp.maximum(c - return_, 0.0)) / max(alpha, 1e-3)) for c in return_
    )
    expected = -1.0 if alpha == 0.0 else cvar
    weights = tail_weights(return_, alpha)
    np.testing.assert_allclose(jnp.sum(weights), 1.0, rtol=1e-6)
    np.testing.assert_allclose(weights @ return_, expected, rtol=1e-5)
