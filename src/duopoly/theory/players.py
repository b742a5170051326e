"""The two players without networks: exact best responses, and exact small steps.

Policy player: tables ν of probabilities. What acts is π = ξ/A + (1−ξ) ν: exploration keeps a floor
ξ, as the Gaussian policy's standard deviation does, and best responses are exact among such π.

Model player: a multinomial per (s, a) with a prior worth κ observations; it minimises

    Σ_{s,a} n(s,a) KL(P_emp ‖ P̂) + κ Σ_{s,a} KL(P_0 ‖ P̂),        n(s,a) the data's counts.
"""

import numpy as np
from jaxtyping import Float

from duopoly.theory.mdp import MDP, action_value, anchored, blend, optimal_policy, value

Policy = Float[np.ndarray, "N S A"]
Table = Float[np.ndarray, "N S A S"]


def acting(nu: Policy, floor: float) -> Policy:
    """π = ξ/A + (1−ξ) ν."""
    uniform = np.full_like(nu, 1.0 / nu.shape[-1])
    return blend(uniform, nu, np.full(len(nu), 1.0 - floor))


def seen_by(mdp: MDP, floor: float) -> MDP:
    """Returns the world in which playing ν is playing π in the given one."""
    uniform = np.full_like(mdp.reward, 1.0 / mdp.reward.shape[-1])
    return anchored(mdp, uniform, np.full(len(mdp.reward), 1.0 - floor))


def best_policy(model: MDP, floor: float) -> Policy:
    """argmax_ν J(π, M̂), exactly (Eq. 8, 15)."""
    return optimal_policy(seen_by(model, floor))


def natural_gradient_step(model: MDP, nu: Policy, step_size: float, floor: float) -> Policy:
    """ν ← ν exp(η A) / Z: the natural policy gradient of a softmax table (Eq. 6, 13).

    A is the advantage of ν in the model. Source: Kakade (2001); Agarwal et al. (2021), lemma 15.
    """
    world = seen_by(model, floor)
    values = value(world, nu)
    advantage = action_value(world, values) - values[..., None]
    with np.errstate(divide="ignore"):
        logits = np.log(nu) + step_size * advantage
    weight = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weight / weight.sum(axis=-1, keepdims=True)


def best_model(counts: Table, prior: Table, pseudo_count: float) -> Table:
    """argmin_M̂ ℓ(M̂, data), exactly (Eq. 9, 12): (n P_emp + κ P_0) / (n + κ)."""
    weight = counts.sum(axis=-1, keepdims=True) + pseudo_count
    return (counts + pseudo_count * prior) / weight


def proximal_step(transition: Table, target: Table, rate: float) -> Table:
    """P̂ ← (1−β) P̂ + β P̂*: a careful step towards the best response (Eq. 7, 16).

    It minimises β KL(P̂* ‖ ·) + (1−β) KL(P̂ ‖ ·) in every row: a proximal (mirror-descent) step.
    """
    return (1.0 - rate) * transition + rate * target
