"""Tabular Markov decision processes, N of them at once, solved by linear algebra.

=====  ==================================================
axis   meaning
=====  ==================================================
N      games, each with a world of its own
S      states; the last axis of a transition is the next state
A      actions
=====  ==================================================

A policy is its table of probabilities [N, S, A]. The reward belongs to (s, a); a reward of the
state alone, as in the paper, is one that does not depend on a.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    Numbers = Any  # what comes out is what went in, which no type of either library can say
else:
    Numbers = np.ndarray | jax.Array


class MDP(NamedTuple):
    """Worlds M = {S, A, R, P, γ, ρ} (section 2)."""

    transition: Float[Numbers, "N S A S"]
    """P(s′ | s, a)."""
    reward: Float[Numbers, "N S A"]
    start: Float[Numbers, "N S"]
    """ρ, the distribution of the first state."""
    discount: Float[Numbers, " N"]


def namespace(x: Numbers) -> Any:
    """Returns the library an array belongs to: NumPy, or else JAX."""
    return np if isinstance(x, np.ndarray) else jnp


def policy_transition(mdp: MDP, policy: Float[Numbers, "N S A"]) -> Float[Numbers, "N S S"]:
    """P^π(s′|s) = Σ_a π(a|s) P(s′|s,a)."""
    return namespace(policy).einsum("nsat,nsa->nst", mdp.transition, policy)


def resolvent(mdp: MDP, policy: Float[Numbers, "N S A"]) -> Float[Numbers, "N S S"]:
    """Returns 1 − γ P^π, whose inverse sums the discounted future."""
    xp = namespace(policy)
    eye = xp.eye(policy.shape[1])
    return eye[None] - mdp.discount[:, None, None] * policy_transition(mdp, policy)


def value(mdp: MDP, policy: Float[Numbers, "N S A"]) -> Float[Numbers, "N S"]:
    """V^π = (1 − γ P^π)⁻¹ r^π: the discounted return from each state, not normalised."""
    xp = namespace(policy)
    reward = xp.sum(mdp.reward * policy, axis=-1)
    return xp.linalg.solve(resolvent(mdp, policy), reward[..., None])[..., 0]


def action_value(mdp: MDP, values: Float[Numbers, "N S"]) -> Float[Numbers, "N S A"]:
    """Q(s,a) = R(s,a) + γ Σ_s′ P(s′|s,a) V(s′)."""
    future = namespace(values).einsum("nsat,nt->nsa", mdp.transition, values)
    return mdp.reward + mdp.discount[:, None, None] * future


def objective(mdp: MDP, policy: Float[Numbers, "N S A"]) -> Float[Numbers, " N"]:
    """J(π, M) = E Σ_t γ^t R(s_t, a_t) (Eq. 1)."""
    return namespace(policy).sum(mdp.start * value(mdp, policy), axis=-1)


def state_occupancy(mdp: MDP, policy: Float[Numbers, "N S A"]) -> Float[Numbers, "N S"]:
    """d(s) = (1 − γ) Σ_t γ^t Pr(s_t = s), which sums to one: (1 − γ) ρᵀ (1 − γ P^π)⁻¹."""
    xp = namespace(policy)
    transposed = xp.swapaxes(resolvent(mdp, policy), -1, -2)
    visits = xp.linalg.solve(transposed, mdp.start[..., None])[..., 0]
    return (1.0 - mdp.discount)[:, None] * visits


def occupancy(mdp: MDP, policy: Float[Numbers, "N S A"]) -> Float[Numbers, "N S A"]:
    """d(s,a) = d(s) π(a|s): the paper's µ^π_M, discounted."""
    return state_occupancy(mdp, policy)[..., None] * policy


def greedy(
    scores: Float[Numbers, "N S A"], policy: Float[Numbers, "N S A"] | None = None
) -> Float[Numbers, "N S A"]:
    """Chooses the best action everywhere; a given deterministic policy changes only for a gain."""
    xp = namespace(scores)
    if policy is not None:
        scale = xp.max(xp.abs(scores), axis=(1, 2), keepdims=True)
        scores = scores + 1e-12 * scale * policy
    best = xp.argmax(scores, axis=-1)
    return xp.asarray(best[..., None] == xp.arange(scores.shape[-1])[None, None], scores.dtype)


def optimal_policy(mdp: MDP, num_iterations: int = 100) -> Float[Numbers, "N S A"]:
    """Returns a deterministic optimal policy π* by policy iteration (Howard, 1960).

    NumPy stops once nothing changes any more; JAX takes all the iterations it is told to.

    Raises:
        ArithmeticError: NumPy, and the policies still change after the last iteration.
    """
    policy = greedy(mdp.reward)
    for _ in range(num_iterations):
        improved = greedy(action_value(mdp, value(mdp, policy)), policy)
        if isinstance(improved, np.ndarray) and np.array_equal(improved, policy):
            return policy
        policy = improved
    if isinstance(policy, np.ndarray):
        raise ArithmeticError(f"policy iteration has not ended after {num_iterations} iterations")
    return policy


def anchored(mdp: MDP, policy: Float[Numbers, "N S A"], radius: Float[Numbers, " N"]) -> MDP:
    """Returns the world as seen by ν when (1 − α) π + α ν is what acts, α the radius.

    Optimising ν there is optimising exactly over the policies around π: those that differ from it
    on a share α of the actions. With π uniform these are the policies that keep exploring.
    """
    xp = namespace(policy)
    share = radius[:, None, None]
    reward = (1.0 - share) * xp.sum(mdp.reward * policy, axis=-1, keepdims=True)
    moves = (1.0 - share) * policy_transition(mdp, policy)
    return MDP(
        moves[:, :, None, :] + share[..., None] * mdp.transition,
        reward + share * mdp.reward,
        mdp.start,
        mdp.discount,
    )


def blend(
    policy: Float[Numbers, "N S A"],
    other: Float[Numbers, "N S A"],
    radius: Float[Numbers, " N"],
) -> Float[Numbers, "N S A"]:
    """(1 − α) π + α ν."""
    share = radius[:, None, None]
    return (1.0 - share) * policy + share * other
