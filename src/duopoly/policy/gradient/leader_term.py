"""The implicit term of a leader's gradient (Eq. 11) in a policy step: averaged and bounded.

    d = F⁻¹ g₂ averaged over steps,   κ = min(1, max_share ‖F⁻¹ g₁‖_F / ‖d‖_F),   ‖x‖_F = √(xᵀ F x)

with g₁ the gradient of J(π, M̂), the model held fixed, and g₂ the implicit term, known from few real
data and so mostly noise. What is averaged is the natural direction, not the gradient: it is a
change of the policy, and stays the same change when the inputs are given in other units, under the
same map as the parameters themselves (`rebase` is linear in them). The policy then steps by the
gradient of J plus κ F d.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from duopoly.networks import MLP, Normaliser, rebase
from duopoly.policy.gaussian import GaussianPolicy
from duopoly.policy.gradient.natural_gradient import (
    FisherProduct,
    fisher_vector_product,
    natural_direction,
)
from duopoly.policy.gradient.step import ObjectiveFn, flatten_policy
from duopoly.settings import Settings


class LeaderMemory(eqx.Module):
    """The average of the implicit term's natural directions so far; later ones weigh more."""

    network: MLP
    """Change of the policy's weights: a weighted sum of directions."""
    log_std: Float[Array, " act"]
    weight: Float[Array, ""]
    """Sum of the weights in that sum, which grows to 1."""


class LeaderTermInfo(NamedTuple):
    """What is observed of the implicit term's part in one policy step."""

    newest_norm: Float[Array, ""]
    """‖g₂‖, in the units of the policy's normalised objective."""
    first_norm: Float[Array, ""]
    """‖g₁‖."""
    fisher_share: Float[Array, ""]
    """‖d‖_F / ‖F⁻¹ g₁‖_F, before d is bounded."""
    norm: Float[Array, ""]
    """‖κ F d‖: what was added to the gradient."""


def empty_leader_memory(policy: GaussianPolicy) -> LeaderMemory:
    """Returns the average before the first term."""
    network, log_std = jax.tree.map(jnp.zeros_like, (policy.network, policy.log_std))
    return LeaderMemory(network, log_std, jnp.zeros(()))


def rebase_leader_memory(memory: LeaderMemory, old: Normaliser, new: Normaliser) -> LeaderMemory:
    """Returns the same change of the policy, for inputs in other units."""
    return eqx.tree_at(lambda m: m.network, memory, rebase(memory.network, old, new))


def remember(
    memory: LeaderMemory, direction: Float[Array, " P"], is_known: Bool[Array, ""], num_steps: int
) -> tuple[LeaderMemory, Float[Array, " P"]]:
    """Adds a direction to the average, and returns both; one that is not known counts for nothing.

    Nor does one that is not finite: it would never be forgotten.

        m ← β m + (1 − β) d,   w ← β w + (1 − β),   β = 1 − 1/num_steps,   the average m/w

    Without any known direction the average is 0; so it is where this one is not known.
    """
    is_known &= jnp.all(jnp.isfinite(direction))
    total, unravel = ravel_pytree((memory.network, memory.log_std))
    share = 1.0 / num_steps
    new = total + share * (jnp.where(is_known, direction, 0.0) - total)
    weight = memory.weight + share * (1.0 - memory.weight)
    network, log_std = unravel(jnp.where(is_known, new, total))
    kept = LeaderMemory(network, log_std, jnp.where(is_known, weight, memory.weight))
    return kept, jnp.where(is_known, new / weight, 0.0)


def fisher_norm(product: FisherProduct, direction: Float[Array, " P"]) -> Float[Array, ""]:
    """Returns √(xᵀ F x): to second order, √(2 KL) of a policy moved by x."""
    return jnp.sqrt(direction @ product(direction))


def add_leader_term(
    policy: GaussianPolicy,
    memory: LeaderMemory,
    objective_fn: ObjectiveFn,
    implicit_fn: ObjectiveFn,
    is_known: Bool[Array, ""],
    fisher_obs: Float[Array, "M obs"],
    settings: Settings,
) -> tuple[LeaderMemory, ObjectiveFn, LeaderTermInfo]:
    """Returns the objective with the implicit term added, linear in the parameters.

    ``implicit_fn`` has the term as its gradient, which counts only where it ``is_known``.
    """
    theta, rebuild = flatten_policy(policy)
    product = fisher_vector_product(policy, fisher_obs, settings.policy.cg_damping)
    first, newest = (
        jax.grad(lambda t, fn=fn: fn(rebuild(t)))(theta) for fn in (objective_fn, implicit_fn)
    )
    of_first, direction = (
        natural_direction(product, gradient, settings.policy) for gradient in (first, newest)
    )
    memory, average = remember(memory, direction, is_known, settings.leader.memory)
    first_length, length = fisher_norm(product, of_first), fisher_norm(product, average)
    limit = settings.leader.max_share * first_length
    factor = jnp.where(length > limit, limit / length, 1.0)
    gradient = factor * product(average)

    def both_fn(moved: GaussianPolicy) -> Float[Array, ""]:
        return objective_fn(moved) + gradient @ (flatten_policy(moved)[0] - theta)

    norm = jnp.linalg.norm
    info = LeaderTermInfo(norm(newest), norm(first), length / first_length, norm(gradient))
    return memory, both_fn, info
