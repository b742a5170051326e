"""Curvature without matrices: Gauss-Newton products, and solving with them."""

from collections.abc import Callable
from typing import Final, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Product = Callable[[Float[Array, " P"]], Float[Array, " P"]]
"""v ↦ A v of a symmetric matrix A that is never formed."""

NUM_POWER_ITERATIONS: Final = 10


class Solve(NamedTuple):
    """What conjugate gradients found."""

    solution: Float[Array, " P"]
    residual: Float[Array, ""]
    """‖A x − b‖ / ‖b‖ at the end, computed anew."""
    is_failed: Bool[Array, ""]
    """Whether a number was not finite, the curvature negative or the residual too large."""


def gauss_newton_product(
    outputs_fn: Callable[[Float[Array, " P"]], Array],
    loss_fn: Callable[[Array], Float[Array, ""]],
    at: Float[Array, " P"],
    damping: float,
) -> Product:
    """Returns v ↦ (Jᵀ ∇²loss J + damping·1) v, J the Jacobian of the outputs at ``at``.

    The Hessian of loss(outputs) without the curvature of the outputs themselves: positive
    semidefinite wherever the loss is convex in them, and exact where they fit. Source: Schraudolph
    (2002), Fast curvature matrix-vector products.
    """
    outputs, jvp_fn = jax.linearize(outputs_fn, at)
    transpose_fn = jax.linear_transpose(jvp_fn, at)

    def product(vector: Float[Array, " P"]) -> Float[Array, " P"]:
        _, curved = jax.jvp(jax.grad(loss_fn), (outputs,), (jvp_fn(vector),))
        (image,) = transpose_fn(curved)
        return image + damping * vector

    return product


def conjugate_gradient(
    product: Product, target: Float[Array, " P"], num_iterations: int, max_residual: float
) -> Solve:
    """Solves A x = b for a positive definite A, and says so where it could not.

    Ends early where nothing is left to solve, or where a direction without positive curvature
    shows that A is not positive definite. Source: Hestenes & Stiefel (1952).
    """

    def goes_on(state: tuple) -> Bool[Array, ""]:
        index, _, rest, _, _, is_positive = state
        return (index < num_iterations) & (rest @ rest > rounding) & is_positive

    def iterate(state: tuple) -> tuple:
        index, x, rest, direction, squared, _ = state
        image = product(direction)
        curvature = direction @ image
        is_positive = curvature > 0.0  # false for NaN as well
        length = jnp.where(is_positive, squared / curvature, 0.0)
        x, rest = x + length * direction, rest - length * image
        new_squared = rest @ rest
        direction = rest + new_squared / squared * direction
        return index + 1, x, rest, direction, new_squared, is_positive

    squared = target @ target
    rounding = squared * (10.0 * jnp.finfo(target.dtype).eps) ** 2  # below it, only noise is left
    start = (jnp.array(0), jnp.zeros_like(target), target, target, squared, jnp.array(True))
    _, x, _, _, _, is_positive = jax.lax.while_loop(goes_on, iterate, start)
    error = jnp.linalg.norm(product(x) - target) / jnp.sqrt(squared)
    residual = jnp.where(squared == 0.0, 0.0, error)  # no target: x = 0 is exact
    return Solve(x, residual, ~(is_positive & (residual <= max_residual)))


def largest_curvature(product: Product, size: int) -> Float[Array, ""]:
    """Estimates the largest eigenvalue of a positive semidefinite A, from below.

    By the power method, from a direction that no symmetry of the problem singles out.
    """

    def iterate(_: object, vector: Float[Array, " P"]) -> Float[Array, " P"]:
        image = product(vector)
        return image / jnp.linalg.norm(image)

    start = jnp.cos(jnp.arange(size, dtype=float))
    start = start / jnp.linalg.norm(start)
    vector = jax.lax.fori_loop(0, NUM_POWER_ITERATIONS, iterate, start)
    return jnp.linalg.norm(product(vector))
