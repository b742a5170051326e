"""Lemma 1 and Theorem 1 with their constants: each side of each inequality is a function.

`docs/theory.md` proves them. Throughout, rewards lie in [0, R_max] and belong to (s, a), d is the
normalised discounted occupancy, and ε_M = E_{d^π_M}[KL(P ‖ P̂)] (Definition 1). The undiscounted
forms are over T steps, T = 1/(1−γ) rounded: as many as a discounted trajectory has on average.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from jaxtyping import Float

from duopoly.theory.distances import expected, kl_divergence, total_variation
from duopoly.theory.finite_horizon import mean_occupancy, total_reward
from duopoly.theory.mdp import (
    MDP,
    Numbers,
    anchored,
    blend,
    namespace,
    objective,
    occupancy,
    optimal_policy,
    state_occupancy,
)


class Situation(NamedTuple):
    """A pair of players (π, M̂) in the real worlds M."""

    real: MDP
    model: MDP
    """The same world but for its transition."""
    policy: Float[Numbers, "N S A"]
    reward_max: Float[Numbers, " N"]
    radius: Float[Numbers, " N"]
    """α: how far from π the local version looks, as a share of the actions, in (0, 1]."""
    rival: MDP
    """Another model: where the policy leads, the follower's class is {model, rival}."""


Side = Callable[[Situation], Float[Numbers, " N"]]


class Bound(NamedTuple):
    """A claim that ``left`` never exceeds ``right``; all but `CLAIM` are proved."""

    name: str
    source: str
    left: Side
    right: Side


def horizon_squared(s: Situation) -> Float[Numbers, " N"]:
    """γ R_max / (1 − γ)²: what one unit of E[D_TV(P, P̂)] may cost."""
    return s.real.discount * s.reward_max / (1.0 - s.real.discount) ** 2


def return_gap(s: Situation) -> Float[Numbers, " N"]:
    """|J(π, M) − J(π, M̂)|."""
    return namespace(s.policy).abs(objective(s.real, s.policy) - objective(s.model, s.policy))


def worst_error(s: Situation) -> Float[Numbers, " N"]:
    """max_{s,a} D_TV(P, P̂): Lemma 1's ε_M."""
    xp = namespace(s.policy)
    return xp.max(total_variation(s.real.transition, s.model.transition), axis=(1, 2))


def expected_error(s: Situation) -> Float[Numbers, " N"]:
    """E_{d^π_M}[D_TV(P, P̂)]."""
    distance = total_variation(s.real.transition, s.model.transition)
    return expected(occupancy(s.real, s.policy), distance)


def model_loss(s: Situation) -> Float[Numbers, " N"]:
    """ℓ(M̂, µ^π_M) = E_{d^π_M}[KL(P ‖ P̂)] (Eq. 3)."""
    divergence = kl_divergence(s.real.transition, s.model.transition)
    return expected(occupancy(s.real, s.policy), divergence)


def simulation_uniform(s: Situation) -> Float[Numbers, " N"]:
    """γ R_max / (1−γ)² · max D_TV: Lemma 1 (Eq. 2) with its constant."""
    return horizon_squared(s) * worst_error(s)


def simulation_coupling(s: Situation) -> Float[Numbers, " N"]:
    """R_max γ ε / ((1−γ)(1−γ+γε)), ε = max D_TV: Lemma 1 with nothing given away."""
    discount, error = s.real.discount, worst_error(s)
    return s.reward_max * discount * error / ((1.0 - discount) * (1.0 - discount * (1.0 - error)))


def simulation_expected(s: Situation) -> Float[Numbers, " N"]:
    """γ R_max / (1−γ)² · E_{d^π_M}[D_TV]: Lemma 1 on the policy's own data."""
    return horizon_squared(s) * expected_error(s)


def pinsker(s: Situation) -> Float[Numbers, " N"]:
    """√(ε_M / 2), which bounds E[D_TV] by Pinsker's and Jensen's inequalities."""
    return namespace(s.policy).sqrt(0.5 * model_loss(s))


def simulation_divergence(s: Situation) -> Float[Numbers, " N"]:
    """γ R_max / (1−γ)² · √(ε_M / 2): Lemma 1 in terms of the model player's own loss."""
    return horizon_squared(s) * pinsker(s)


def simulation_stopped(s: Situation) -> Float[Numbers, " N"]:
    """γ R_max / (1−γ)^(3/2) · √(ε_M / 2): better than the above by √(1−γ), and sharp.

    From the trajectory that stops with probability 1 − γ after each step, whose last state is
    distributed as d: its divergence is one sum of ε_M, not the product of two horizons.
    """
    return namespace(s.policy).sqrt(1.0 - s.real.discount) * simulation_divergence(s)


def occupancy_gap(s: Situation) -> Float[Numbers, " N"]:
    """D_TV(d^π_M, d^π_M̂); the same for states as for state-action pairs."""
    return total_variation(state_occupancy(s.real, s.policy), state_occupancy(s.model, s.policy))


def occupancy_bound(s: Situation) -> Float[Numbers, " N"]:
    """γ/(1−γ) · E_{d^π_M}[D_TV(P, P̂)]."""
    return s.real.discount / (1.0 - s.real.discount) * expected_error(s)


def occupancy_divergence(s: Situation) -> Float[Numbers, " N"]:
    """KL(d^π_M ‖ d^π_M̂)."""
    return kl_divergence(state_occupancy(s.real, s.policy), state_occupancy(s.model, s.policy))


def trajectory_divergence(s: Situation) -> Float[Numbers, " N"]:
    """γ/(1−γ) · ε_M, the divergence of whole trajectories, each stopped at a geometric time."""
    return s.real.discount / (1.0 - s.real.discount) * model_loss(s)


def num_steps(s: Situation) -> Float[Numbers, " N"]:
    """T = 1/(1−γ), rounded: the horizon of the undiscounted forms."""
    return namespace(s.policy).round(1.0 / (1.0 - s.real.discount))


def finite_gap(s: Situation) -> Float[Numbers, " N"]:
    """|J_T(π, M) − J_T(π, M̂)|, undiscounted."""
    real, model = (total_reward(mdp, s.policy, num_steps(s)) for mdp in (s.real, s.model))
    return namespace(s.policy).abs(real - model)


def finite_loss(s: Situation) -> Float[Numbers, " N"]:
    """ℓ(M̂, µ^π_M) with the paper's µ^π_M = 1/T Σ_t Pr(s_t, a_t) (Eq. 3, 4)."""
    divergence = kl_divergence(s.real.transition, s.model.transition)
    return expected(mean_occupancy(s.real, s.policy, num_steps(s)), divergence)


def finite_divergence(s: Situation) -> Float[Numbers, " N"]:
    """R_max T √(T ε/2), ε the loss under the mean over T steps."""
    horizon = num_steps(s)
    return s.reward_max * horizon * namespace(s.policy).sqrt(0.5 * horizon * finite_loss(s))


def finite_sharp(s: Situation) -> Float[Numbers, " N"]:
    """R_max (T−1) √(T ε/2), and 0 where T = 1: no model is wrong about the first reward."""
    xp, horizon = namespace(s.policy), num_steps(s)
    error = xp.where(horizon > 1.0, xp.sqrt(0.5 * horizon * finite_loss(s)), 0.0)
    return s.reward_max * (horizon - 1.0) * error


def comparator(mdp: MDP, s: Situation, num_iterations: int) -> Float[Numbers, "N S A"]:
    """Returns the best policy of a world among (1−α) π + α ν, ν any policy: among all at α = 1."""
    nearby = anchored(mdp, s.policy, s.radius)
    return blend(s.policy, optimal_policy(nearby, num_iterations), s.radius)


def policy_gap(s: Situation, num_iterations: int = 100) -> Float[Numbers, " N"]:
    """ε_π = max_π′ J(π′, M̂) − J(π, M̂) over the policies within the radius of π."""
    best = comparator(s.model, s, num_iterations)
    return objective(s.model, best) - objective(s.model, s.policy)


def regret(s: Situation, num_iterations: int = 100) -> Float[Numbers, " N"]:
    """max_π′ J(π′, M) − J(π, M) over the policies within the radius of π."""
    best = comparator(s.real, s, num_iterations)
    return objective(s.real, best) - objective(s.real, s.policy)


def transfer(s: Situation, num_iterations: int = 100) -> Float[Numbers, " N"]:
    """R_max/(1−γ) · D_TV(d^{π*}_M, d^{π*}_M̂): how well the model serves the policy we lack."""
    best = s._replace(policy=comparator(s.real, s, num_iterations))
    return s.reward_max / (1.0 - s.real.discount) * occupancy_gap(best)


def equilibrium_bound(s: Situation, num_iterations: int = 100) -> Float[Numbers, " N"]:
    """ε_π + γ R_max/(1−γ)² √(ε_M/2) + R_max/(1−γ) D_TV(d^{π*}_M, d^{π*}_M̂) (Theorem 1, Eq. 5)."""
    gap = policy_gap(s, num_iterations)
    return gap + simulation_divergence(s) + transfer(s, num_iterations)


def sharp_bound(s: Situation, num_iterations: int = 100) -> Float[Numbers, " N"]:
    """Theorem 1 with √ε_M over (1−γ)^(3/2) in place of (1−γ)²."""
    gap = policy_gap(s, num_iterations)
    return gap + simulation_stopped(s) + transfer(s, num_iterations)


def with_follower(s: Situation, policy: Float[Numbers, "N S A"]) -> Situation:
    """M̂^π: of the follower's two models, the one with less loss on the policy's own data.

    Returns:
        the pair of that policy and that model.
    """
    first = s._replace(policy=policy)
    other = first._replace(model=s.rival)
    is_first = (model_loss(first) <= model_loss(other))[:, None, None, None]
    chosen = namespace(policy).where(is_first, s.model.transition, s.rival.transition)
    return first._replace(model=s.model._replace(transition=chosen))


def both_with_followers(s: Situation, num_iterations: int = 100) -> tuple[Situation, Situation]:
    """Returns π and π*, each with the follower's best response to it."""
    return with_follower(s, s.policy), with_follower(s, comparator(s.real, s, num_iterations))


def leader_gap(mine: Situation, best: Situation) -> Float[Numbers, " N"]:
    """PAL's ε_π = max_π′ J(π′, M̂^π′) − J(π, M̂^π), the leader choosing between π and π* alone.

    Of all leaders that may choose either, this one has the smallest gap.
    """
    gain = objective(best.model, best.policy) - objective(mine.model, mine.policy)
    return namespace(gain).maximum(gain, 0.0)


def leader_bound(s: Situation, num_iterations: int = 100) -> Float[Numbers, " N"]:
    """ε_π + c √(ε_M(π)/2) + c √(ε_M(π*)/2), c = γ R_max/(1−γ)^(3/2): what holds for PAL.

    ε_π is PAL's own, ε_M(π′) the loss of M̂^π′ on d^π′_M; there is no transfer term.
    """
    mine, best = both_with_followers(s, num_iterations)
    return leader_gap(mine, best) + simulation_stopped(mine) + simulation_stopped(best)


def claimed_terms(
    s: Situation, num_iterations: int = 100
) -> tuple[Float[Numbers, " N"], Float[Numbers, " N"], Float[Numbers, " N"]]:
    """Returns PAL's own ε_π, and the model and transfer terms of Theorem 1 at (π, M̂^π)."""
    mine, best = both_with_followers(s, num_iterations)
    return leader_gap(mine, best), simulation_divergence(mine), transfer(mine, num_iterations)


def claimed_bound(s: Situation, num_iterations: int = 100) -> Float[Numbers, " N"]:
    """Theorem 1's right side at (π, M̂^π) with PAL's own ε_π: what the paper says of PAL.

    It does not hold, since that ε_π compares policies each in a model of its own.
    """
    gap, model_term, transfer_term = claimed_terms(s, num_iterations)
    return gap + model_term + transfer_term


def everywhere(s: Situation) -> Situation:
    """Returns the situation with every policy within reach (α = 1)."""
    return s._replace(radius=namespace(s.radius).ones_like(s.radius))


def bounds(num_iterations: int = 100) -> tuple[Bound, ...]:
    """Lists all the claims; ``num_iterations`` of policy iteration find the best policies."""
    n = num_iterations
    lemmas = (
        Bound("simulation, uniform", "Lemma 1, Eq. 2", return_gap, simulation_uniform),
        Bound("simulation, coupled", "Lemma 1, sharp", return_gap, simulation_coupling),
        Bound("simulation, expected", "Lemma 1 under d", return_gap, simulation_expected),
        Bound("Pinsker and Jensen", "below Eq. 3", expected_error, pinsker),
        Bound("simulation, divergence", "Lemma 1, Eq. 3", return_gap, simulation_divergence),
        Bound("simulation, stopped", "Lemma 1, Eq. 3, sharp", return_gap, simulation_stopped),
        Bound("occupancy", "step of Theorem 1", occupancy_gap, occupancy_bound),
        Bound("trajectories", "step", occupancy_divergence, trajectory_divergence),
        Bound("undiscounted", "Lemma 1, µ over T steps", finite_gap, finite_divergence),
        Bound("undiscounted, sharp", "Lemma 1, µ over T steps", finite_gap, finite_sharp),
    )
    return (
        *lemmas,
        Bound(
            "equilibrium, global",
            "Theorem 1, Eq. 5",
            lambda s: regret(everywhere(s), n),
            lambda s: equilibrium_bound(everywhere(s), n),
        ),
        Bound(
            "equilibrium, sharp",
            "Theorem 1, sharp",
            lambda s: regret(everywhere(s), n),
            lambda s: sharp_bound(everywhere(s), n),
        ),
        Bound(
            "equilibrium, local",
            "Theorem 1, local",
            lambda s: regret(s, n),
            lambda s: equilibrium_bound(s, n),
        ),
        Bound(
            "policy leads",
            "what holds for PAL",
            lambda s: regret(everywhere(s), n),
            lambda s: leader_bound(everywhere(s), n),
        ),
    )


def claim(num_iterations: int = 100) -> Bound:
    """Returns what the paper says of PAL, which is no bound: Theorem 1 with PAL's own ε_π."""
    return Bound(
        "policy leads, as claimed",
        "section 4.2, PAL",
        lambda s: regret(everywhere(s), num_iterations),
        lambda s: claimed_bound(everywhere(s), num_iterations),
    )


BOUNDS: Final = bounds()
CLAIM: Final = claim()
TRIED: Final = (*BOUNDS, CLAIM)
