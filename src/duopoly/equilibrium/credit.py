"""The policy gradient of a mean over real data: ∇_θ E_{µ^πθ}[r], for any reward r per sample."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from duopoly.policy.gaussian import GaussianPolicy
from duopoly.policy.surrogate import Samples, log_probs
from duopoly.types import Transitions


class Evidence(NamedTuple):
    """What a leader knows of the real world."""

    data: Transitions
    """Transitions of one policy, in the order in which they happened."""
    policy: GaussianPolicy
    """The policy that took them."""
    fitted: Transitions
    """All that the model was fitted to."""


def credits(
    reward: Float[Array, " N"],
    first: Bool[Array, " N"],
    valid: Bool[Array, " N"],
    discount: float,
) -> Float[Array, " N"]:
    """Returns what each action did for the mean reward of the data, less their mean: mean 0.

        c_t = Σ_{k≥t, same episode} γ^{k−t} (r_k − r̄) − mean

    µ^π is the visitation of an episode over its mean length, E Σ_t r_t / E T. An action that makes
    an episode longer changes both, which r̄, the mean over the data, accounts for: at γ = 1 the
    mean of c_t ∇log π(a_t|s_t) is the gradient of the ratio. γ < 1 credits what happens soon, as
    it does in imagination. An episode whose end is not in the data counts as far as it goes.
    """
    count = jnp.maximum(jnp.sum(valid), 1)
    mean = jnp.sum(jnp.where(valid, reward, 0.0)) / count
    centred = jnp.where(valid, reward - mean, 0.0)
    ends = jnp.append(first[1:] | ~valid[1:], True)  # the next row belongs to another episode

    def backward(later: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        reward, is_end = row
        credit = reward + discount * jnp.where(is_end, 0.0, later)
        return credit, credit

    zero = jnp.zeros((), reward.dtype)
    _, credit = jax.lax.scan(backward, zero, (centred, ends), reverse=True)
    baseline = jnp.sum(jnp.where(valid, credit, 0.0)) / count
    return jnp.where(valid, credit - baseline, 0.0)


def credited(evidence: Evidence, reward: Float[Array, " N"], discount: float) -> Samples:
    """Returns the real samples whose surrogate's gradient is ∇_θ E_{µ^πθ}[reward].

    In units of reward per step: at the policy that collected; away from it, by the ratio π/π_old.
    """
    data = evidence.data
    return Samples(
        obs=data.obs,
        action=data.action,
        log_prob=log_probs(evidence.policy, data.obs, data.action),
        advantage=credits(reward, data.first, data.valid, discount),
        weight=data.valid.astype(reward.dtype),
    )
