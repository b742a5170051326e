"""Advantages from rewards and values, and how much each sample counts."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from duopoly.networks import NEGLIGIBLE


def generalised_advantages(
    reward: Float[Array, " T"],
    value: Float[Array, " T"],
    next_value: Float[Array, " T"],
    terminated: Bool[Array, " T"],
    truncated: Bool[Array, " T"],
    discount: float,
    gae_lambda: float,
) -> Float[Array, " T"]:
    """Generalised advantage estimation along one trajectory (Schulman et al., 2016).

        δ_t = r_t + γ (1 − terminated_t) V(s_{t+1}) − V(s_t)
        A_t = δ_t + γλ (1 − terminated_t) (1 − truncated_t) A_{t+1}

    Termination cuts the bootstrap; truncation and the end of the trajectory do not: V of the last
    ``next_obs`` stands for all that would follow.
    """
    delta = reward + discount * (1.0 - terminated) * next_value - value
    goes_on = discount * (1.0 - (terminated | truncated))

    def backward(advantage: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        delta, goes_on = step
        advantage = delta + gae_lambda * goes_on * advantage
        return advantage, advantage

    _, advantage = jax.lax.scan(backward, jnp.zeros(()), (delta, goes_on), reverse=True)
    return advantage


def normalise_advantages(
    advantage: Float[Array, "*N"], weight: Float[Array, "*N"]
) -> tuple[Float[Array, "*N"], Float[Array, ""]]:
    """Shifts and scales advantages to weighted mean 0 and standard deviation 1.

    Returns them, zero where the weight is, and the standard deviation they had.
    """
    total = jnp.maximum(jnp.sum(weight), 1e-8)
    counts = weight > 0.0
    mean = jnp.sum(jnp.where(counts, weight * advantage, 0.0)) / total
    centred = jnp.where(counts, advantage - mean, 0.0)
    std = jnp.sqrt(jnp.sum(weight * centred**2) / total)
    return centred / (std + NEGLIGIBLE), std


def tail_weights(return_: Float[Array, " E"], alpha: float) -> Float[Array, " E"]:
    """Returns each world's share in the mean of the worst ``alpha`` of them (Eq. 17), of sum 1.

    The conditional value at risk of worlds that are equally likely: ``alpha`` = 1 weighs all the
    same, ``alpha`` ≤ 1/E gives all the weight to the worst. Its gradient is the weighted mean of
    the worlds' gradients. Source: Rockafellar & Uryasev (2000).
    """
    num_worlds = return_.shape[0]
    rank = jnp.argsort(jnp.argsort(return_))
    tail = max(alpha * num_worlds, 1.0)
    return jnp.clip(tail - rank, 0.0, 1.0) / tail
