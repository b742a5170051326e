"""Advantages from rewards and values."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def generalised_advantages(
    reward: Float[Array, " T"],
    value: Float[Array, " T"],
    next_value: Float[Array, " T"],
    terminated: Bool[Array, " T"],
    discount: float,
    gae_lambda: float,
) -> Float[Array, " T"]:
    """Generalised advantage estimation along one trajectory (Schulman et al., 2016).

        δ_t = r_t + γ (1 − terminated_t) V(s_{t+1}) − V(s_t)
        A_t = δ_t + γλ (1 − terminated_t) A_{t+1}

    Termination cuts the bootstrap; the end of the trajectory does not: V of the last ``next_obs``
    stands for all that follows.
    """
    continues = discount * (1.0 - terminated)
    delta = reward + continues * next_value - value

    def backward(advantage: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        delta, continues = step
        advantage = delta + gae_lambda * continues * advantage
        return advantage, advantage

    _, advantage = jax.lax.scan(backward, jnp.zeros(()), (delta, continues), reverse=True)
    return advantage


def normalise_advantages(
    advantage: Float[Array, "*N"], valid: Bool[Array, "*N"]
) -> Float[Array, "*N"]:
    """Shifts and scale the valid advantages to mean 0 and standard deviation 1; zero the rest."""
    count = jnp.maximum(jnp.sum(valid), 1)
    mean = jnp.sum(jnp.where(valid, advantage, 0.0)) / count
    centred = jnp.where(valid, advantage - mean, 0.0)
    return centred / (jnp.sqrt(jnp.sum(centred**2) / count) + 1e-8)
