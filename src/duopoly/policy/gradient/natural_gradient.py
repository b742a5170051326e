"""The natural policy gradient (Kakade, 2001): the conservative step of Eq. 6 and 13.

    g = ∇_θ J(π_θ),   F = E[∇log π ∇log πᵀ],   θ ← θ + √(δ / gᵀF⁻¹g) F⁻¹g

with δ twice the KL divergence that the step aims at.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from duopoly.policy.gaussian import GaussianPolicy
from duopoly.policy.gradient.step import (
    ObjectiveFn,
    StepInfo,
    flatten_policy,
    mean_kl,
    raise_to_floor,
)
from duopoly.settings import PolicySettings

FisherProduct = Callable[[Float[Array, " P"]], Float[Array, " P"]]
"""v ↦ (F + damping·1) v."""


class NaturalStep(NamedTuple):
    """The change of the parameters that the natural gradient proposes."""

    change: Float[Array, " P"]
    """√(δ / gᵀF⁻¹g) F⁻¹g; non-finite where the curvature is not positive."""
    gradient_norm: Float[Array, ""]
    curvature: Float[Array, ""]
    """gᵀF⁻¹g."""
    residual: Float[Array, ""]
    """‖F x − g‖ / ‖g‖ after the conjugate gradient iterations."""


def natural_gradient_step(
    policy: GaussianPolicy,
    opt_state: optax.OptState,
    objective_fn: ObjectiveFn,
    fisher_obs: Float[Array, "M obs"],
    settings: PolicySettings,
) -> tuple[GaussianPolicy, optax.OptState, StepInfo]:
    """Takes one normalised natural gradient step, or none at all where the numbers break down."""
    theta, rebuild = flatten_policy(policy)
    step = propose(policy, objective_fn, fisher_obs, settings)
    new = raise_to_floor(rebuild(theta + step.change), settings.min_log_std)
    kl = mean_kl(policy, new, fisher_obs)
    is_refused = ~((step.curvature > 0.0) & jnp.isfinite(kl))
    info = StepInfo(
        kl, step.gradient_norm, step.curvature, step.residual, is_refused, jnp.zeros((), jnp.int32)
    )
    return jax.tree.map(lambda a, b: jnp.where(is_refused, a, b), policy, new), opt_state, info


def propose(
    policy: GaussianPolicy,
    objective_fn: ObjectiveFn,
    fisher_obs: Float[Array, "M obs"],
    settings: PolicySettings,
) -> NaturalStep:
    """Solves F x = g by conjugate gradients and scales x to the KL divergence aimed at."""
    theta, rebuild = flatten_policy(policy)
    gradient = jax.grad(lambda t: objective_fn(rebuild(t)))(theta)
    product = fisher_vector_product(policy, fisher_obs, settings.cg_damping)
    direction = natural_direction(product, gradient, settings)
    curvature = gradient @ direction
    step_length = jnp.sqrt(2.0 * settings.target_kl / curvature)
    residual = jnp.linalg.norm(product(direction) - gradient) / jnp.linalg.norm(gradient)
    return NaturalStep(step_length * direction, jnp.linalg.norm(gradient), curvature, residual)


def natural_direction(
    product: FisherProduct, gradient: Float[Array, " P"], settings: PolicySettings
) -> Float[Array, " P"]:
    """Returns F⁻¹g, as far as the conjugate gradient iterations get."""
    solution, _ = jax.scipy.sparse.linalg.cg(
        product, gradient, tol=0.0, maxiter=settings.cg_iterations
    )
    return solution


def fisher_vector_product(
    policy: GaussianPolicy, obs: Float[Array, "M obs"], damping: float
) -> FisherProduct:
    """Returns v ↦ (F + damping·1) v, F averaged over the observations, without ever forming F.

    Gauss-Newton form: F = E[Jᵀ H J], J the Jacobian of (mean, log std) and H the Fisher matrix of a
    Gaussian in those coordinates, diag(1/std², 2).
    """
    theta, rebuild = flatten_policy(policy)

    def outputs(theta: Float[Array, " P"]) -> tuple[Float[Array, "M act"], Float[Array, " act"]]:
        policy = rebuild(theta)
        return jax.vmap(lambda o: policy(o)[0])(obs), policy.log_std

    (_, log_std), jvp_fn = jax.linearize(outputs, theta)
    transpose_fn = jax.linear_transpose(jvp_fn, theta)

    def product(vector: Float[Array, " P"]) -> Float[Array, " P"]:
        d_mean, d_log_std = jvp_fn(vector)
        h_mean = d_mean * jnp.exp(-2.0 * log_std)[None] / obs.shape[0]
        (fisher_vector,) = transpose_fn((h_mean, 2.0 * d_log_std))
        return fisher_vector + damping * vector

    return product
