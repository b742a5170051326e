"""The policy player's objective on a set of samples, whose gradient is the policy gradient."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from duopoly.policy.gaussian import GaussianPolicy, entropy, log_prob


class Samples(NamedTuple):
    """State-action pairs of a policy, with what each of them is worth."""

    obs: Float[Array, "N obs"]
    action: Float[Array, "N act"]
    log_prob: Float[Array, " N"]
    """Log density of the action under the policy that took it."""
    advantage: Float[Array, " N"]
    weight: Float[Array, " N"]
    """How much each counts, zero for padding."""


def log_probs(
    policy: GaussianPolicy, obs: Float[Array, "N obs"], action: Float[Array, "N act"]
) -> Float[Array, " N"]:
    """Returns the log density of every action."""
    return jax.vmap(lambda obs, action: log_prob(policy, obs, action))(obs, action)


def surrogate(policy: GaussianPolicy, samples: Samples) -> Float[Array, ""]:
    """Weighted mean of A π(a|s)/π_old(a|s); at π = π_old its gradient is ∇J (Eq. 6, 13)."""
    counts = samples.weight > 0.0
    log_ratio = log_probs(policy, samples.obs, samples.action) - samples.log_prob
    ratio = jnp.exp(jnp.where(counts, log_ratio, 0.0))
    gain = jnp.where(counts, samples.weight * samples.advantage * ratio, 0.0)
    return jnp.sum(gain) / jnp.maximum(jnp.sum(samples.weight), 1e-8)


def objective(policy: GaussianPolicy, samples: Samples, entropy_bonus: float) -> Float[Array, ""]:
    """Returns the surrogate with the entropy regularisation of the paper's section 5."""
    return surrogate(policy, samples) + entropy_bonus * entropy(policy)
