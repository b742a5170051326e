"""The leader's total derivative (Eq. 11) on tabular games: exact, and every way to approximate it.

    dL_A/dθ = ∂L_A/∂θ + (dφ*/dθ)ᵀ ∂L_A/∂φ        at the follower's best response φ*(θ) = argmin L_B

Policy and model are softmax tables. The model has one row of next states per cluster of states and
action: with a cluster per state it can be right everywhere, with fewer it is misspecified. As a
follower it minimises ℓ(M̂, µ^π_M) + κ · mean over its rows of KL(uniform ‖ P̂); the policy as a
follower maximises J(π, M̂) + τ E Σ_t γ^t entropy. Both best responses are then unique and smooth.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from duopoly.theory.distances import expected, kl_divergence
from duopoly.theory.mdp import (
    MDP,
    action_value,
    objective,
    occupancy,
    resolvent,
    value,
)

PolicyLogits = Float[np.ndarray, "N S A"]
ModelLogits = Float[np.ndarray, "N C A S"]


class Game(NamedTuple):
    """Games, and what limits their players."""

    world: MDP
    assignment: Float[np.ndarray, "N S C"]
    """One-hot: the cluster of each state."""
    prior_weight: float
    """κ ≥ 0, beside data whose weights sum to one."""
    temperature: float
    """τ > 0, where the policy follows."""

    @property
    def row_prior(self) -> float:
        """κ′: the prior's weight in each row of the model."""
        return self.prior_weight / (self.assignment.shape[2] * self.world.reward.shape[2])


def draw_clusters(
    world: MDP, num_clusters: int, prior_weight: float, temperature: float = 0.1, seed: int = 0
) -> Game:
    """Puts the states of each world into clusters at random, none of them empty."""
    filled = np.arange(world.start.shape[1]) % num_clusters
    rng = np.random.default_rng(seed)
    cluster = rng.permuted(np.broadcast_to(filled, world.start.shape), axis=1)
    return Game(world, np.eye(num_clusters)[cluster], prior_weight, temperature)


def softmax(logits: Float[np.ndarray, "*rows K"]) -> Float[np.ndarray, "*rows K"]:
    """Probabilities of a table of logits."""
    weight = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weight / weight.sum(axis=-1, keepdims=True)


def modelled(game: Game, rows: Float[np.ndarray, "N C A S"]) -> MDP:
    """Returns the worlds that a model's rows stand for."""
    return game.world._replace(transition=np.einsum("nsc,ncat->nsat", game.assignment, rows))


def by_cluster(game: Game, weight: Float[np.ndarray, "N S A"]) -> Float[np.ndarray, "N C A"]:
    """Sums over the states of each cluster."""
    return np.einsum("nsc,nsa->nca", game.assignment, weight)


def seen_rows(game: Game, visits: Float[np.ndarray, "N S A"]) -> Float[np.ndarray, "N C A S"]:
    """Σ_{s∈c} µ(s,a) P(·|s,a): the data of each row of the model."""
    moves = visits[..., None] * game.world.transition
    return np.einsum("nsc,nsat->ncat", game.assignment, moves)


def fitted_rows(game: Game, theta: PolicyLogits) -> Float[np.ndarray, "N C A S"]:
    """Returns the follower's rows for a policy given by its logits."""
    return best_response_rows(game, softmax(theta))


def best_response_rows(game: Game, pi: Float[np.ndarray, "N S A"]) -> Float[np.ndarray, "N C A S"]:
    """argmin of the model's loss as follower: a row is its data's mean, with a uniform prior."""
    joint = seen_rows(game, occupancy(game.world, pi))
    joint = joint + game.row_prior / joint.shape[-1]
    return joint / joint.sum(axis=-1, keepdims=True)


def policy_gradient(world: MDP, pi: Float[np.ndarray, "N S A"]) -> PolicyLogits:
    """∂J/∂θ(s,a) = d(s,a) A(s,a) / (1−γ) (Sutton et al., 2000)."""
    values = value(world, pi)
    advantage = action_value(world, values) - values[..., None]
    return occupancy(world, pi) * advantage / (1.0 - world.discount)[:, None, None]


# --- The policy leads (PAL): max_θ J(π_θ, M̂^θ) ---


def imagined_return(game: Game, theta: PolicyLogits) -> Float[np.ndarray, " N"]:
    """J(π, M̂^π), the model fitted anew to the policy: what PAL's leader maximises."""
    return objective(modelled(game, fitted_rows(game, theta)), softmax(theta))


def first_order_policy(game: Game, theta: PolicyLogits) -> PolicyLogits:
    """∂J(π, M̂)/∂θ, the model's best response held fixed: the paper's approximation."""
    return policy_gradient(modelled(game, fitted_rows(game, theta)), softmax(theta))


def implicit_policy(game: Game, theta: PolicyLogits) -> PolicyLogits:
    """(dφ*/dθ)ᵀ ∂J/∂φ by the implicit function theorem.

    With v = (∇²_φ ℓ)⁻¹ ∇_φ J it is ∇_θ Σ µ_θ(s,a) r(s,a), r = ⟨P(·|s,a) − P̂(·|s,a), v(c,a)⟩ held
    fixed: an ordinary policy gradient in the real world. A softmax row has the Hessian
    (µ + κ′)(diag P̂ − P̂P̂ᵀ), which ∇_φ J = γ/(1−γ) d̂ (diag P̂ − P̂P̂ᵀ) V̂ shares, so v is proportional to
    V̂ in every row.
    """
    model = modelled(game, fitted_rows(game, theta))
    future = value(model, softmax(theta))
    v = teaching(game, model, theta)[..., None] * future[:, None, None]
    return paid_gradient(game, model, theta, v)


def unrolled_policy(game: Game, theta: PolicyLogits, num_steps: int, rate: float) -> PolicyLogits:
    """∂J/∂φ through K gradient steps of a follower that starts at its best response.

    Each row steps by β over the weight of its data, φ ← φ − β D ∇_φ ℓ, so
    v = β Σ_{k<K} (1 − β D ∇²ℓ)^k D ∇_φ J, which tends to that of `implicit_policy` for 0 < β < 4: a
    row's Fisher matrix has no eigenvalue above one half.
    """
    rows = fitted_rows(game, theta)
    model = modelled(game, rows)
    future = value(model, softmax(theta))
    wanted = teaching(game, model, theta)[..., None] * fisher_times(rows, future[:, None, None])
    v = np.zeros_like(wanted)
    for _ in range(num_steps):
        v = v + rate * (wanted - fisher_times(rows, v))
    return paid_gradient(game, model, theta, v)


def teaching(game: Game, model: MDP, theta: PolicyLogits) -> Float[np.ndarray, "N C A"]:
    """γ/(1−γ) · d̂(c,a) / (µ(c,a) + κ′): imagined visits of a row over the weight of its data."""
    pi = softmax(theta)
    imagined, real = (by_cluster(game, occupancy(m, pi)) for m in (model, game.world))
    odds = game.world.discount / (1.0 - game.world.discount)
    return odds[:, None, None] * imagined / (real + game.row_prior)


def fisher_times(
    rows: Float[np.ndarray, "N C A S"], v: Float[np.ndarray, "N #C #A S"]
) -> Float[np.ndarray, "N C A S"]:
    """(diag P̂ − P̂P̂ᵀ) v, row by row."""
    return rows * (v - np.sum(rows * v, axis=-1, keepdims=True))


def paid_gradient(
    game: Game, model: MDP, theta: PolicyLogits, v: Float[np.ndarray, "N C A S"]
) -> PolicyLogits:
    """Returns the real policy gradient, normalised, for the reward ⟨P − P̂, v⟩."""
    reward = surprise_reward(game, model, v)
    unit = (1.0 - game.world.discount)[:, None, None]
    return unit * policy_gradient(game.world._replace(reward=reward), softmax(theta))


def surprise_reward(
    game: Game, model: MDP, v: Float[np.ndarray, "N C A S"]
) -> Float[np.ndarray, "N S A"]:
    """⟨P(·|s,a) − P̂(·|s,a), v(c,a)⟩, c the cluster of s.

    At the exact v the policy is paid for visits that teach the model to promise more.
    """
    error = game.world.transition - model.transition
    return np.einsum("nsat,nsat->nsa", error, np.einsum("nsc,ncat->nsat", game.assignment, v))


# --- The model leads (MAL): min_φ ℓ(M̂_φ, µ^π), π the policy's best response (Eq. 14) ---


def softly_optimal(
    game: Game, rows: Float[np.ndarray, "N C A S"], num_iterations: int = 30
) -> Float[np.ndarray, "N S A"]:
    """argmax_π J(π, M̂) + τ E Σ_t γ^t entropy, by soft policy iteration: π ← softmax(Q/τ)."""
    model = modelled(game, rows)
    pi = np.full_like(model.reward, 1.0 / model.reward.shape[-1])
    for _ in range(num_iterations):
        new = softmax(action_value(model, soft_value(game, model, pi)) / game.temperature)
        if np.max(np.abs(new - pi)) < 1e-9:  # the error squares: the next change would be 1e-18
            return new
        pi = new
    return pi


def soft_value(game: Game, model: MDP, pi: Float[np.ndarray, "N S A"]) -> Float[np.ndarray, "N S"]:
    """V^π of a world that also pays −τ log π(a|s)."""
    bonus = -game.temperature * np.log(np.maximum(pi, 1e-300))
    return value(model._replace(reward=model.reward + bonus), pi)


def predicted_loss(game: Game, phi: ModelLogits) -> Float[np.ndarray, " N"]:
    """ℓ(M̂, µ^π), π the best response to M̂: what MAL's leader minimises."""
    rows = softmax(phi)
    visits = occupancy(game.world, softly_optimal(game, rows))
    return expected(visits, kl_divergence(game.world.transition, modelled(game, rows).transition))


def first_order_model(game: Game, phi: ModelLogits) -> ModelLogits:
    """∂ℓ/∂φ(c,a) = Σ_{s∈c} µ(s,a) (P̂ − P)(·|s,a), the policy's best response held fixed."""
    rows = softmax(phi)
    visits = occupancy(game.world, softly_optimal(game, rows))
    return by_cluster(game, visits)[..., None] * rows - seen_rows(game, visits)


def implicit_model(game: Game, phi: ModelLogits) -> ModelLogits:
    """(dπ/dφ)ᵀ ∂ℓ/∂π, through the soft Bellman equation that the policy's best response solves.

    With c = KL(P‖P̂) as a cost, g = d^π_M A_c and m = (1 − γ P̂^π)⁻ᵀ (γ Σ g P̂), it is the derivative
    of (γ/τ) Σ_{s,a} (g + m π)(s,a) ⟨P̂_φ(·|s,a), V̂⟩, all but P̂_φ held fixed.
    """
    rows = softmax(phi)
    pi, model = softly_optimal(game, rows), modelled(game, rows)
    future = soft_value(game, model, pi)
    cost = kl_divergence(game.world.transition, model.transition)
    unit = (1.0 - game.world.discount)[:, None, None]
    pressure = unit * policy_gradient(game.world._replace(reward=cost), pi)
    discount = game.world.discount[:, None]
    source = discount * np.einsum("nsa,nsat->nt", pressure, model.transition)
    transposed = np.swapaxes(resolvent(model, pi), -1, -2)
    passed_on = np.linalg.solve(transposed, source[..., None])[..., 0]
    weight = (pressure + passed_on[..., None] * pi) * discount[..., None] / game.temperature
    return by_cluster(game, weight)[..., None] * fisher_times(rows, future[:, None, None])
