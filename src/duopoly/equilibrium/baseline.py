"""A baseline, which lowers a gradient's noise: the return to go expected from the state alone.

    b(s) = φ(s)ᵀ w,   w = argmin Σ (c_t − φ(s_t)ᵀ w)² / N + ridge ‖w‖²,   c_t the return to go

φ: the policy's inputs, their squares, and the time since the episode began, all of mean 0 and
variance 1. E[∇log π(a|s) b(s)] = 0 holds for a b that knows nothing of the action. So the rows of
an episode get the b that was fitted to other episodes, NUM_FOLDS such fits in all: subtracting it
changes no expectation, however badly it fits.
"""

from typing import Final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from duopoly.networks import moments

NUM_FOLDS: Final = 5


def folds(first: Bool[Array, " N"]) -> Int[Array, " N"]:
    """Returns the fold of every row; the rows of an episode share one."""
    return jnp.cumsum(first) % NUM_FOLDS


def returns_to_go(
    reward: Float[Array, " N"],
    first: Bool[Array, " N"],
    valid: Bool[Array, " N"],
    discount: float,
) -> Float[Array, " N"]:
    """Returns Σ_{k≥t, same episode} γ^{k−t} (r_k − r̄), r̄ over the valid rows; 0 for the others."""
    count = jnp.maximum(jnp.sum(valid), 1)
    mean = jnp.sum(jnp.where(valid, reward, 0.0)) / count
    centred = jnp.where(valid, reward - mean, 0.0)
    ends = jnp.append(first[1:] | ~valid[1:], True)  # the next row belongs to another episode

    def backward(later: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        reward, is_end = row
        return_ = reward + discount * jnp.where(is_end, 0.0, later)
        return return_, return_

    zero = jnp.zeros((), reward.dtype)
    _, returns = jax.lax.scan(backward, zero, (centred, ends), reverse=True)
    return jnp.where(valid, returns, 0.0)


def baseline(
    x: Float[Array, "N features"],
    reward: Float[Array, " N"],
    first: Bool[Array, " N"],
    valid: Bool[Array, " N"],
    discount: float,
    ridge: float,
) -> Float[Array, " N"]:
    """Predicts each row's return to go from its state and time, by the episodes of other folds.

    Returns 0 where there are none, and for padding.
    """
    index = jnp.arange(len(first))
    begun = jax.lax.cummax(jnp.where(first, index, 0))
    time = (index - begun).astype(x.dtype)[:, None]
    raw = jnp.concatenate([x, x**2, time, time**2], axis=1)
    fold_of = folds(first)

    def by_others(fold: Array) -> Float[Array, " N"]:
        taught = valid & (fold_of != fold)
        share = taught / jnp.maximum(jnp.sum(taught), 1)
        mean, std = moments(raw, taught)
        features = jnp.where(std > 0.0, 1.0 / std, 0.0)[None] * (raw - mean[None])
        returns = returns_to_go(reward, first, taught, discount)
        target = returns - share @ returns
        covariance = features.T @ (share[:, None] * features) + ridge * jnp.eye(raw.shape[1])
        return features @ jnp.linalg.solve(covariance, features.T @ (share * target))

    every = jax.vmap(by_others)(jnp.arange(NUM_FOLDS))
    own = jnp.take_along_axis(every, fold_of[None], axis=0)[0]
    return jnp.where(valid, own, 0.0)
