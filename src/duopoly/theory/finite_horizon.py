"""The first T steps without discount: what the deep game measures, and the paper's µ^π_M."""

import jax
import numpy as np
from jaxtyping import Float

from duopoly.theory.mdp import MDP, Numbers, namespace, policy_transition

MAX_STEPS = 100
"""Steps that JAX takes, whatever the horizons; NumPy stops at the longest of them."""


def visits(
    mdp: MDP, policy: Float[Numbers, "N S A"], horizon: Float[Numbers, " N"]
) -> Float[Numbers, "N S"]:
    """Σ_{t<T} Pr(s_t = s), T a whole number for each game, in JAX at most `MAX_STEPS`.

    Raises:
        ValueError: NumPy, and a horizon is no whole number of at least one step.
    """
    moves = policy_transition(mdp, policy)

    def step(carry: tuple, t: Numbers) -> tuple[tuple, None]:
        here, total = carry
        total = total + here * (t < horizon)[:, None]
        return (namespace(here).einsum("ns,nst->nt", here, moves), total), None

    carry = (mdp.start, 0.0 * mdp.start)
    if not isinstance(policy, np.ndarray):
        return jax.lax.scan(step, carry, namespace(policy).arange(MAX_STEPS))[0][1]
    is_whole = np.isfinite(horizon) & (horizon == np.round(horizon)) & (horizon >= 1.0)
    if not is_whole.all():
        raise ValueError(f"horizons must be whole numbers of at least 1, got {horizon}")
    for t in range(int(np.max(horizon))):
        carry, _ = step(carry, np.asarray(t))
    return carry[1]


def mean_occupancy(
    mdp: MDP, policy: Float[Numbers, "N S A"], horizon: Float[Numbers, " N"]
) -> Float[Numbers, "N S A"]:
    """µ^π_M(s,a) = 1/T Σ_{t<T} Pr(s_t = s, a_t = a), the paper's (below Eq. 4)."""
    return (visits(mdp, policy, horizon) / horizon[:, None])[..., None] * policy


def total_reward(
    mdp: MDP, policy: Float[Numbers, "N S A"], horizon: Float[Numbers, " N"]
) -> Float[Numbers, " N"]:
    """J_T(π, M) = E Σ_{t<T} R(s_t, a_t) = T ⟨µ^π_M, R⟩: the undiscounted return of T steps."""
    mean = mean_occupancy(mdp, policy, horizon)
    return horizon * namespace(policy).sum(mean * mdp.reward, axis=(1, 2))
