"""The policy player's objective on a set of samples, whose gradient is the policy gradient."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from duopoly.policy.gaussian import GaussianPolicy, entropy, log_prob


class Samples(NamedTuple):
    """State-action pairs of a policy, with their advantages and weights."""

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


def surrogate(
    policy: GaussianPolicy, samples: Samples, max_ratio: float | None = None
) -> Float[Array, ""]:
    """Weighted mean of A π(a|s)/π_old(a|s); at π = π_old its gradient is ∇J (Eq. 6, 13).

    Where ``max_ratio`` is given, no sample weighs more than that in its gradient.
    """
    counts = samples.weight > 0.0
    log_ratio = log_probs(policy, samples.obs, samples.action) - samples.log_prob
    log_ratio = jnp.where(counts, log_ratio, 0.0)
    ratio = jnp.exp(log_ratio) if max_ratio is None else truncated_ratio(log_ratio, max_ratio)
    gain = jnp.where(counts, samples.weight * samples.advantage * ratio, 0.0)
    return jnp.sum(gain) / jnp.maximum(jnp.sum(samples.weight), 1e-8)


def truncated_ratio(log_ratio: Float[Array, " N"], max_ratio: float) -> Float[Array, " N"]:
    """Returns w = π/π_old up to c = ``max_ratio``, and c (1 + log(w/c)) beyond it.

    Its derivative in log π is min(w, c): the truncated weight of an importance sample. Source:
    Ionides (2008), Truncated importance sampling.
    """
    excess = jnp.maximum(log_ratio - jnp.log(max_ratio), 0.0)
    return jnp.exp(log_ratio - excess) * (1.0 + excess)


def objective(policy: GaussianPolicy, samples: Samples, entropy_bonus: float) -> Float[Array, ""]:
    """Returns the surrogate with the entropy regularisation of the paper's section 5."""
    return surrogate(policy, samples) + entropy_bonus * entropy(policy)
