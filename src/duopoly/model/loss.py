"""Definition 1's KL divergence in its two forms, and the divergence that a proximal step adds.

A member predicts a Gaussian N(μ, σ²) over the normalised change. Its standard deviation is one for
all (squared loss), predicted for every (s, a) (likelihood), or one level per output that the member
learns (noise_level).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from duopoly.networks import MLP

LOG_2PI = 1.8378770664093453

Bounds = tuple[float, float] | None
"""Smallest and largest log standard deviation of a prediction; None: the squared loss."""


class Gaussian(NamedTuple):
    """What a network predicts of the change, in normalised units."""

    mean: Float[Array, "*N learned"]
    log_std: Float[Array, "*N learned"] | None
    """None under the squared loss."""


def gaussian(output: Float[Array, "*N out"], bounds: Bounds) -> Gaussian:
    """Reads a network's output as a Gaussian, its log standard deviation softly bounded.

    The bounds [low, high] hold up to log(1 + exp(low − high)), and no gradient ends at them.
    Source: Chua et al. (2018), Deep reinforcement learning in a handful of trials.
    """
    if bounds is None:
        return Gaussian(output, None)
    low, high = bounds
    mean, raw = jnp.split(output, 2, axis=-1)
    below = high - jax.nn.softplus(high - raw)
    return Gaussian(mean, low + jax.nn.softplus(below - low))


def model_loss(
    member: MLP, x: Float[Array, "N features"], y: Float[Array, "N learned"], bounds: Bounds
) -> Float[Array, ""]:
    """ℓ(M, µ) of one member, up to a constant (Definition 1, Eq. 3), in the form of its bounds."""
    if bounds is None:
        return squared_error(member, x, y)
    return negative_log_likelihood(gaussian(jax.vmap(member)(x), bounds), y)


def squared_error(
    member: MLP, x: Float[Array, "N features"], y: Float[Array, "N learned"]
) -> Float[Array, ""]:
    """Mean over samples and components of the squared error (Eq. 3 for isotropic Gaussians)."""
    return jnp.mean((jax.vmap(member)(x) - y) ** 2)


def negative_log_likelihood(predicted: Gaussian, y: Float[Array, "N learned"]) -> Float[Array, ""]:
    """Mean over samples and components of −log N(y; μ, σ²), in nats.

    E[−log P̂(s′|s,a)] = E[KL(P ‖ P̂)] + the entropy of the world, which no model changes (Eq. 3).
    """
    mean = predicted.mean
    log_std = jnp.zeros(mean.shape) if predicted.log_std is None else predicted.log_std
    z = (y - mean) * jnp.exp(-log_std)
    return jnp.mean(0.5 * z**2 + log_std + 0.5 * LOG_2PI)


def divergence(old: Gaussian, new: Gaussian) -> Float[Array, ""]:
    """D(M_k, M), the Bregman divergence of the loss, mean over samples and components.

    Squared loss:     D = (μ_k − μ)²
    likelihood loss:  D = KL(N(μ_k, σ_k²) ‖ N(μ, σ²)) = log σ/σ_k + (σ_k² + (μ_k − μ)²) / 2σ² − ½

    A conservative move of the model player is then the proximal, or mirror descent, step

        M_{k+1} = argmin_M  ℓ(M, µ) + λ E_(s,a)~µ [ D(M_k, M) ]

    whose solution under the squared loss, where the networks can express it, lies between the data
    and the old predictions: μ = (s′ + λ μ_k) / (1 + λ). It is the fit to data to which the old
    model's own predictions are added with weight λ. Source: Beck & Teboulle (2003), Mirror descent
    and nonlinear projected subgradient methods.
    """
    if old.log_std is None or new.log_std is None:
        return jnp.mean((old.mean - new.mean) ** 2)
    ratio = jnp.exp(2.0 * (old.log_std - new.log_std))
    z = (old.mean - new.mean) * jnp.exp(-new.log_std)
    return jnp.mean(new.log_std - old.log_std + 0.5 * (ratio + z**2 - 1.0))
