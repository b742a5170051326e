"""The leader's total derivative (Eq. 11), for any two players and any parameters.

    dL/dx = ∂L/∂x + (dy*/dx)ᵀ ∂L/∂y          y*(x) = argmin_y f(x, y)

x are the leader's variables, y the follower's parameters. The follower minimises f; the leader
minimises or maximises L. The second part, the implicit term, in two ways:

    implicit   −∂_x ⟨∇_y f(x, y*), v⟩,   v = (∇²_y f)⁻¹ ∂L/∂y      (implicit function theorem)
    unrolled    ∂_x L(y_K(x)),   y_{k+1} = y_k − η ∇_y f(x, y_k),   y_0 = y* held fixed

At an exact best response both agree as K → ∞. Damping λ in ∇²_y f stands for a follower that also
minimises ½ λ ‖y − y*‖², and so moves no further than that lets it. Source: Rajeswaran et al.
(2019), Meta-learning with implicit gradients.

PAL and MAL are both this. In PAL x holds the weight of every real sample in the model's loss, y is
the model and L = J(π, M̂). In MAL x is the model, y the policy and L = ℓ(M̂, µ^π).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from duopoly.equilibrium.curvature import Product, conjugate_gradient, largest_curvature
from duopoly.settings import LeaderGradient, LeaderSettings

Turned = Any
"""The leader's variables: any tree of arrays."""

FollowerLossFn = Callable[[Turned, Float[Array, " P"]], Float[Array, ""]]
LeaderLossFn = Callable[[Float[Array, " P"]], Float[Array, ""]]


class Term(NamedTuple):
    """The implicit term, zero where it could not be computed: the gradient is then first order."""

    value: Turned
    residual: Float[Array, ""]
    """Relative residual of the solve; NaN where nothing was solved."""
    is_failed: Bool[Array, ""]


def implicit_term(
    follower_loss_fn: FollowerLossFn,
    leader: Turned,
    best_response: Float[Array, " P"],
    leader_loss_fn: LeaderLossFn,
    product: Product,
    settings: LeaderSettings,
) -> Term:
    """Differentiates the best response implicitly; ``product`` is v ↦ (∇²_y f + λ·1) v.

    Matrix-free: one conjugate gradient solve, then one forward- under one reverse-mode pass.
    """
    target = jax.grad(leader_loss_fn)(best_response)
    solve = conjugate_gradient(product, target, settings.cg_iterations, settings.max_residual)

    def along_solution(leader: Turned) -> Float[Array, ""]:
        primal, tangent = (best_response,), (solve.solution,)
        return jax.jvp(lambda y: follower_loss_fn(leader, y), primal, tangent)[1]

    value = jax.tree.map(jnp.negative, jax.grad(along_solution)(leader))
    return refuse(value, solve.residual, solve.is_failed)


def unrolled_term(
    follower_loss_fn: FollowerLossFn,
    leader: Turned,
    best_response: Float[Array, " P"],
    leader_loss_fn: LeaderLossFn,
    num_steps: int,
    rate: float | Float[Array, ""],
) -> Term:
    """Differentiates through ``num_steps`` gradient steps of size ``rate`` from the best response.

    Fails where the follower's loss rises on the way, so that the steps diverge. Reverse mode keeps
    the follower's parameters of every step and computes the rest again.
    """

    def unrolled_response(leader: Turned) -> Float[Array, " P"]:
        @jax.checkpoint
        def step(y: Float[Array, " P"], _: None) -> tuple[Float[Array, " P"], None]:
            return y - rate * jax.grad(follower_loss_fn, argnums=1)(leader, y), None

        return jax.lax.scan(step, best_response, None, length=num_steps)[0]

    def outcome(leader: Turned) -> tuple[Float[Array, ""], Float[Array, " P"]]:
        y = unrolled_response(leader)
        return leader_loss_fn(y), y

    value, y = jax.grad(outcome, has_aux=True)(leader)
    before, after = (follower_loss_fn(leader, z) for z in (best_response, y))
    rounding = 1e-3 * jnp.abs(before)  # at an exact best response the loss only rounds
    return refuse(value, jnp.full((), jnp.nan, best_response.dtype), ~(after <= before + rounding))


READS: Final[Mapping[LeaderGradient, tuple[str, ...]]] = {
    "implicit": ("leader.gradient", "leader.cg_iterations", "leader.max_residual"),
    "unrolled": ("leader.gradient", "leader.unrolled_steps", "leader.unrolled_rate"),
}
"""Settings that `leader_term` reads, by the way they ask for."""


def leader_term(
    follower_loss_fn: FollowerLossFn,
    leader: Turned,
    best_response: Float[Array, " P"],
    leader_loss_fn: LeaderLossFn,
    product: Product,
    settings: LeaderSettings,
) -> Term:
    """Returns the implicit term in the way that the settings ask for."""
    if settings.gradient == "implicit":
        return implicit_term(
            follower_loss_fn, leader, best_response, leader_loss_fn, product, settings
        )
    rate = settings.unrolled_rate / largest_curvature(product, best_response.shape[0])
    return unrolled_term(
        follower_loss_fn, leader, best_response, leader_loss_fn, settings.unrolled_steps, rate
    )


def refuse(value: Turned, residual: Float[Array, ""], is_failed: Bool[Array, ""]) -> Term:
    """Replaces a term that failed or is not finite by zero."""
    finite = jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(value)])
    is_failed = is_failed | ~jnp.all(finite)
    kept = jax.tree.map(lambda x: jnp.where(is_failed, jnp.zeros_like(x), x), value)
    return Term(kept, residual, is_failed)
