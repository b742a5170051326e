"""What all ways to step the policy's parameters share."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from duopoly.policy.gaussian import GaussianPolicy, kl_divergence
from duopoly.settings import PolicySettings

ObjectiveFn = Callable[[GaussianPolicy], Float[Array, ""]]
"""What a step should increase; at the policy it starts from, its gradient is that of J."""


class StepInfo(NamedTuple):
    """What is observed of one step; NaN where a way of stepping has no such number."""

    kl: Float[Array, ""]
    """Mean KL(old ‖ new), measured after the step."""
    gradient_norm: Float[Array, ""]
    curvature: Float[Array, ""]
    """gᵀF⁻¹g; natural directions are refused unless it is positive."""
    residual: Float[Array, ""]
    """‖F x − g‖ / ‖g‖ after the conjugate gradient iterations."""
    is_refused: Bool[Array, ""]
    """Whether the numbers broke down or no step was good enough, so that nothing moved."""
    num_backtracks: Int[Array, ""]
    """Times that the step was shortened."""


StepFn = Callable[
    [GaussianPolicy, optax.OptState, ObjectiveFn, Float[Array, "M obs"], PolicySettings],
    tuple[GaussianPolicy, optax.OptState, StepInfo],
]
"""Moves a policy along the gradient of an objective, or leaves it where the numbers break down:
(policy, opt_state, objective_fn, fisher_obs, settings) -> (policy, opt_state, StepInfo)."""

InitOptimiser = Callable[[GaussianPolicy, PolicySettings], optax.OptState]
"""Returns the optimiser's state before the first step."""


def mean_kl(
    old: GaussianPolicy, new: GaussianPolicy, obs: Float[Array, "M obs"]
) -> Float[Array, ""]:
    """Returns KL(old ‖ new), averaged over the observations."""
    return jnp.mean(jax.vmap(lambda o: kl_divergence(old, new, o))(obs))


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
