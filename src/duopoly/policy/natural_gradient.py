"""The natural policy gradient (Kakade, 2001): the conservative step of Eq. 6 and 13.

    g = ∇_θ J(π_θ),   F = E[∇log π ∇log πᵀ],   θ ← θ + √(δ / gᵀF⁻¹g) F⁻¹g

with δ twice the KL divergence that the step aims at.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from duopoly.policy.gaussian import GaussianPolicy, kl_divergence
from duopoly.settings import PolicySettings


class NaturalGradientInfo(NamedTuple):
    """What is observed of one step."""

    kl: Float[Array, ""]
    """Mean KL(old ‖ new), measured after the step."""
    gradient_norm: Float[Array, ""]
    curvature: Float[Array, ""]
    """gᵀF⁻¹g; the step is refused unless it is positive."""
    residual: Float[Array, ""]
    """‖F x − g‖ / ‖g‖ after the conjugate gradient iterations."""
    is_refused: Bool[Array, ""]
    """Whether anything was non-finite or the curvature not positive, so nothing moved."""


def natural_gradient_step(
    policy: GaussianPolicy,
    objective_fn: Callable[[GaussianPolicy], Float[Array, ""]],
    fisher_obs: Float[Array, "M obs"],
    settings: PolicySettings,
) -> tuple[GaussianPolicy, NaturalGradientInfo]:
    """Takes one normalised natural gradient step, or none at all where the numbers break down."""
    theta, rebuild = flatten_policy(policy)
    gradient = jax.grad(lambda t: objective_fn(rebuild(t)))(theta)
    product = fisher_vector_product(policy, fisher_obs, settings.cg_damping)
    direction, _ = jax.scipy.sparse.linalg.cg(
        product, gradient, tol=0.0, maxiter=settings.cg_iterations
    )
    curvature = gradient @ direction
    step_length = jnp.sqrt(2.0 * settings.target_kl / curvature)
    new = raise_to_floor(rebuild(theta + step_length * direction), settings.min_log_std)
    kl = jnp.mean(jax.vmap(lambda obs: kl_divergence(policy, new, obs))(fisher_obs))
    is_refused = ~((curvature > 0.0) & jnp.isfinite(kl))
    residual = jnp.linalg.norm(product(direction) - gradient) / jnp.linalg.norm(gradient)
    info = NaturalGradientInfo(kl, jnp.linalg.norm(gradient), curvature, residual, is_refused)
    return jax.tree.map(lambda a, b: jnp.where(is_refused, a, b), policy, new), info


def fisher_vector_product(
    policy: GaussianPolicy, obs: Float[Array, "M obs"], damping: float
) -> Callable[[Float[Array, " P"]], Float[Array, " P"]]:
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


def flatten_policy(
    policy: GaussianPolicy,
) -> tuple[Float[Array, " P"], Callable[[Float[Array, " P"]], GaussianPolicy]]:
    """Returns the trainable parameters as one vector, and the way back."""
    theta, unravel = ravel_pytree((policy.network, policy.log_std))

    def rebuild(theta: Float[Array, " P"]) -> GaussianPolicy:
        network, log_std = unravel(theta)
        return GaussianPolicy(network, log_std, policy.inputs)

    return theta, rebuild


def raise_to_floor(policy: GaussianPolicy, min_log_std: float) -> GaussianPolicy:
    """Keeps exploring: no log standard deviation falls below the floor."""
    return eqx.tree_at(lambda p: p.log_std, policy, jnp.maximum(policy.log_std, min_log_std))
